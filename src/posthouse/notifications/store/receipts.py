"""The statements about what providers told, and what it changes in deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx
from posthouse.kernel.errors import NotFoundError
from posthouse.notifications.model import DELIVERY, DeliveryId, Receipt, ReceiptKind, Told

# Told twice is told once. The delivery is there if the answer that named it has been noted, or by
# its own key: that of a message whose answer never came.
_TAKE = """
INSERT INTO receipts (provider_id, event, workspace_id, reference, delivery_id, kind, told_at,
  code, detail, is_address_bad)
SELECT $1, $2, $3, $4, coalesce((
    SELECT d.id FROM deliveries d
    WHERE d.provider_id = $1 AND d.reference = $4 AND d.workspace_id = $3 LIMIT 1
  ), (
    SELECT d.id FROM deliveries d
    WHERE d.id = $10 AND d.provider_id = $1 AND d.workspace_id = $3
      AND d.state IN ('sending', 'in_doubt', 'sent')
  )), $5, $6, $7, $8, $9
ON CONFLICT (provider_id, event) DO NOTHING
RETURNING delivery_id
"""
_MATCH = """
UPDATE receipts r SET delivery_id = d.id
FROM deliveries d
WHERE r.delivery_id IS NULL AND d.provider_id = r.provider_id AND d.reference = r.reference
  AND d.workspace_id = r.workspace_id
RETURNING r.event, r.reference, r.kind, r.told_at, r.code, r.detail, r.is_address_bad,
  r.delivery_id
"""
_FORGET = """
DELETE FROM receipts
WHERE delivery_id IS NULL AND created_at < now() - make_interval(hours => $1)
"""
# Only what outranks what is known changes anything, and nothing that was never handed over. A
# complaint is of somebody who has got it.
_APPLY = """
UPDATE deliveries d
SET state = CASE $2
      WHEN 'complained' THEN CASE d.state WHEN 'bounced' THEN 'bounced' ELSE 'delivered' END
      ELSE $2 END,
    reason = CASE $2 WHEN 'bounced' THEN 'bounced' WHEN 'complained' THEN 'complained' ELSE '' END,
    detail = CASE WHEN $2 IN ('bounced', 'complained') THEN $4 ELSE '' END,
    rank = $3, reference = $5, lease_until = NULL, version = version + 1, updated_at = now()
WHERE d.id = $1 AND d.rank < $3
  AND d.state IN ('sending', 'sent', 'in_doubt', 'delivered', 'bounced')
RETURNING d.notification_id
"""
_ADDRESS = "SELECT workspace_id, channel, address FROM deliveries WHERE id = $1"


async def take(
    tx: Tx, workspace_id: UUID, provider_id: UUID, receipt: Receipt
) -> tuple[bool, DeliveryId | None]:
    """Note what a provider told: whether it is new, and whose message it is about, if known."""
    row = await tx.fetchrow(
        _TAKE,
        provider_id,
        receipt.event,
        workspace_id,
        receipt.reference,
        receipt.kind,
        receipt.at,
        receipt.code,
        receipt.detail,
        receipt.is_address_bad,
        _id_of(receipt.key),
    )
    return (False, None) if row is None else (True, row["delivery_id"])


async def match(tx: Tx) -> list[Told]:
    """Find the deliveries of receipts that came before we had noted their reference."""
    return [_told(row) for row in await tx.fetch(_MATCH)]


async def forget(tx: Tx, hours: int) -> None:
    """Forget receipts of messages that nobody here knows."""
    await tx.execute(_FORGET, hours)


async def apply(tx: Tx, told: Told) -> UUID | None:
    """Change a delivery; its notification, or None if it knows better already."""
    receipt = told.receipt
    found: UUID | None = await tx.fetchval(
        _APPLY,
        told.delivery_id,
        receipt.kind,
        receipt.kind.rank,
        receipt.code or receipt.detail,
        receipt.reference,
    )
    return found


async def address(tx: Tx, delivery_id: DeliveryId) -> tuple[UUID, str, str] | None:
    """Where a message went: workspace, channel and address, unless that was erased."""
    row = await tx.fetchrow(_ADDRESS, delivery_id)
    if row is None or row["address"] is None:
        return None
    return row["workspace_id"], row["channel"], row["address"]


def _id_of(key: str) -> UUID | None:
    """The delivery with this key, if it is the key of one."""
    try:
        return DELIVERY.read(key)
    except NotFoundError:
        return None


def in_order(told: Sequence[Told]) -> list[Told]:
    """The lowest rank first, so that the highest is what stays."""
    return sorted(told, key=lambda one: one.receipt.kind.rank)


def _told(row: Row) -> Told:
    fields: dict[str, Any] = dict(row)
    delivery_id = DeliveryId(fields.pop("delivery_id"))
    at: datetime | None = fields.pop("told_at")
    kind = ReceiptKind(fields.pop("kind"))
    return Told(Receipt(**fields, kind=kind, at=at), delivery_id)
