"""The statements that tell why: the facts of the rules, read for many messages at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx
from posthouse.notifications.choices import suppressed_form
from posthouse.notifications.model import Channel

_CRITICAL = """
SELECT coalesce((SELECT c.is_critical FROM categories c
  WHERE c.workspace_id = $1 AND c.key = $2), false)
"""
_RECIPIENTS = """
SELECT r.id, r.external_id, r.name, r.email, r.phone, r.locale, r.timezone, r.attributes,
  r.is_stopped, r.quiet_from, r.quiet_until
FROM recipients r WHERE r.workspace_id = $1 AND r.id = ANY($2)
"""
_CHOICES = """
SELECT p.recipient_id, p.channel, p.is_on FROM preferences p
WHERE p.workspace_id = $1 AND p.category = $2 AND p.recipient_id = ANY($3)
"""
_SUPPRESSED = """
SELECT s.channel, s.address, s.reason FROM suppressions s
JOIN unnest($3::text[], $4::text[]) AS a (channel, address) USING (channel, address)
WHERE s.workspace_id = $1 AND s.category IN ('', $2)
"""
_PROVIDERS = """
SELECT p.channel, p.kind, p.name, p.paused_reason FROM providers p
WHERE p.workspace_id = $1 AND p.is_enabled ORDER BY p.priority DESC, p.name
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask about: of the recipients, their choices, addresses and providers."""

    is_critical: bool
    recipients: dict[UUID, Row]
    choices: dict[tuple[UUID, str], bool]
    suppressed: dict[tuple[str, str], str]
    providers: list[Row]

    def choice(self, recipient_id: UUID | None, channel: Channel) -> bool | None:
        """What a recipient chose for this channel, or for all."""
        if recipient_id is None:
            return None
        own = self.choices.get((recipient_id, channel))
        return self.choices.get((recipient_id, "")) if own is None else own

    def suppressed_for(self, channel: Channel, address: str | None) -> str | None:
        """Why an address must not be used; None if it may."""
        return self.suppressed.get((channel, suppressed_form(channel, address or "")))


async def facts(
    tx: Tx,
    workspace_id: UUID,
    category: str,
    addresses: Sequence[tuple[Channel, str | None]],
    recipients: Sequence[UUID],
) -> Facts:
    """Read the facts about these addresses and recipients in one category."""
    known: list[Any] = [one for one in addresses if one[1] is not None]
    channels = [str(channel) for channel, _ in known]
    texts = [suppressed_form(channel, address) for channel, address in known]
    found = await tx.fetch(_RECIPIENTS, workspace_id, recipients)
    chosen = await tx.fetch(_CHOICES, workspace_id, category, recipients)
    listed = await tx.fetch(_SUPPRESSED, workspace_id, category, channels, texts)
    return Facts(
        is_critical=bool(await tx.fetchval(_CRITICAL, workspace_id, category)),
        recipients={row["id"]: row for row in found},
        choices={(row["recipient_id"], row["channel"]): row["is_on"] for row in chosen},
        suppressed={(row["channel"], row["address"]): row["reason"] for row in listed},
        providers=await tx.fetch(_PROVIDERS, workspace_id),
    )
