"""The statement that tells a worker which providers there are."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Tx
from posthouse.notifications.model import Channel, Line

_LINES = """
SELECT id, workspace_id, channel, kind, name, priority, at_once, rate_per_s, version,
  paused_at IS NOT NULL AS is_paused
FROM providers WHERE workspace_id = ANY($1) AND is_enabled ORDER BY priority DESC
"""


async def lines(tx: Tx, workspaces: Sequence[UUID]) -> list[Line]:
    """The providers of workspaces that are switched on, the best first."""
    found: list[Line] = []
    for row in await tx.fetch(_LINES, workspaces):
        fields: dict[str, Any] = dict(row)
        channel = Channel(fields.pop("channel"))
        found.append(Line(**fields, channel=channel))
    return found
