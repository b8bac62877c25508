"""Who did what: one row per change, written in the transaction of the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Tx
from posthouse.kernel.pagination import Keyset

_RECORD = """
INSERT INTO audit_log (workspace_id, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)
"""
_PAGE = """
SELECT id, at, actor, action, subject, detail FROM audit_log
WHERE workspace_id = $1
  AND ($2::bigint IS NULL OR id < $2)
  AND ($3::text IS NULL OR action = $3)
ORDER BY id DESC LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did. `actor` and `subject` are ids as callers see them."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


async def record(
    tx: Tx,
    principal: Principal,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down that `principal` did `action` (such as `link.disabled`) to `subject`."""
    await tx.execute(
        _RECORD, principal.workspace_id, principal.actor, action, subject, dict(detail or {})
    )


async def page(
    tx: Tx, workspace_id: UUID, keyset: Keyset, *, action: str | None = None
) -> list[AuditEntry]:
    """Read entries, newest first, one more than the page holds."""
    before = int(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_PAGE, workspace_id, before, action, keyset.limit + 1)
    return [AuditEntry(**dict(row)) for row in rows]
