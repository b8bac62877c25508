"""The statements about single messages, as those who asked for them see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.notifications.model import (
    Attempt,
    Channel,
    Delivery,
    DeliveryId,
    NewDelivery,
    NewNotification,
    Notification,
    State,
)

_COLUMNS = """
  d.id, d.workspace_id, d.notification_id, d.channel, d.state, d.reason, d.detail, d.address,
  d.recipient_id, d.device_id, d.category, d.locale, d.timezone, d.ready_at, d.expires_at,
  d.attempts, d.doubts, d.provider_id, d.reference, d.created_at, d.updated_at
"""
_INSERT = """
WITH made AS (
  INSERT INTO deliveries
    (id, workspace_id, notification_id, recipient_id, device_id, channel, category, address,
     locale, timezone, state, reason, detail, priority, ready_at, expires_at)
  SELECT r.id, $1, $2, r.recipient_id, r.device_id, r.channel, $3, r.address, r.locale, r.timezone,
    CASE WHEN r.state = 'queued' AND r.ready_at > now() THEN 'held' ELSE r.state END,
    CASE WHEN r.state = 'queued' AND r.ready_at > now() THEN 'scheduled' ELSE r.reason END,
    r.detail, $4, coalesce(r.ready_at, now()), $5
  FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::text[],
    $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[])
    AS r (id, recipient_id, device_id, channel, address, locale, timezone, state, reason, detail,
      ready_at)
  ON CONFLICT (id) DO NOTHING
  RETURNING channel, state, address
)
SELECT address FROM made WHERE channel = 'sms' AND state IN ('queued', 'held')
"""
# A notification's deliveries have ids that begin as its own does, so they lie side by side.
_PAGE = f"""
SELECT {_COLUMNS} FROM deliveries d
WHERE d.workspace_id = $1 AND d.notification_id = $2
  AND d.id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000')
  AND ($4::text IS NULL OR d.state = $4)
  AND ($5::text IS NULL OR d.channel = $5)
ORDER BY d.id LIMIT $6
"""
_FIND = f"SELECT {_COLUMNS} FROM deliveries d WHERE d.workspace_id = $1 AND d.id = $2"
_ATTEMPTS = """
SELECT delivery_id, number, provider_id, started_at, ended_at, outcome, code, detail
FROM attempts WHERE workspace_id = $1 AND delivery_id = ANY($2) ORDER BY delivery_id, number
"""
_CANCEL = """
UPDATE deliveries SET state = 'cancelled', reason = 'cancelled', version = version + 1,
  updated_at = now()
WHERE workspace_id = $1 AND notification_id = $2 AND state IN ('held', 'queued', 'retry_wait')
"""
_RESCHEDULE = """
UPDATE deliveries SET state = CASE WHEN $3 > now() THEN 'held' ELSE 'queued' END,
  reason = CASE WHEN $3 > now() THEN 'scheduled' ELSE '' END, ready_at = $3,
  version = version + 1, updated_at = now()
WHERE workspace_id = $1 AND notification_id = $2 AND attempts = 0
  AND state IN ('held', 'queued', 'retry_wait')
"""
_COPY = """
INSERT INTO deliveries
  (id, workspace_id, notification_id, recipient_id, device_id, channel, category, address, locale,
   timezone, state, priority, ready_at)
SELECT uuidv7(), workspace_id, $3, recipient_id, device_id, channel, category, address, locale,
  timezone, 'queued', priority, now()
FROM deliveries
WHERE workspace_id = $1 AND notification_id = $2 AND address IS NOT NULL
  AND state NOT IN ('held', 'queued', 'leased', 'sending', 'retry_wait')
  AND (NOT $4 OR state IN ('failed', 'dead', 'expired', 'bounced', 'in_doubt'))
RETURNING channel, address
"""
_TROUBLED = """
  d.workspace_id = $1 AND d.state IN ('failed', 'dead', 'expired', 'in_doubt')
  AND d.state = ANY($2::text[])
  AND ($3::text IS NULL OR d.channel = $3)
  AND ($4::text IS NULL OR d.category = $4)
  AND ($5::text IS NULL OR d.reason = $5)
  AND ($6::uuid IS NULL OR d.notification_id = $6)
  AND ($7::uuid IS NULL OR d.provider_id = $7)
  AND ($8::timestamptz IS NULL OR d.updated_at >= $8)
  AND ($9::timestamptz IS NULL OR d.updated_at < $9)
  AND d.address IS NOT NULL
"""
_COUNT_TROUBLED = f"SELECT count(*) FROM deliveries d WHERE {_TROUBLED}"
_REPLAY = f"""
UPDATE deliveries SET state = 'queued', reason = 'replayed', detail = '', attempts = 0,
  ready_at = now(), version = version + 1, updated_at = now(),
  expires_at = CASE WHEN expires_at < now() THEN NULL ELSE expires_at END
WHERE id IN (SELECT d.id FROM deliveries d WHERE {_TROUBLED} FOR UPDATE)
  AND workspace_id = $1 AND state IN ('failed', 'dead', 'expired', 'in_doubt')
RETURNING notification_id, channel, address
"""


@dataclass(frozen=True, slots=True)
class Troubled:
    """Which messages that did not arrive are meant; None is any."""

    states: tuple[State, ...]
    channel: Channel | None = None
    category: str | None = None
    reason: str | None = None
    notification_id: UUID | None = None
    provider_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def values(self) -> tuple[Any, ...]:
        """The values of the statements, in their order."""
        return (
            list(self.states),
            self.channel,
            self.category,
            self.reason,
            self.notification_id,
            self.provider_id,
            self.since,
            self.until,
        )


def _delivery(row: Row) -> Delivery:
    fields: dict[str, Any] = dict(row)
    state, channel = State(fields.pop("state")), Channel(fields.pop("channel"))
    return Delivery(**fields, state=state, channel=channel)


async def insert(tx: Tx, parent: NewNotification, new: Sequence[NewDelivery]) -> list[str]:
    """Insert messages; those that are there already are left as they are.

    Gives the numbers that new text messages go to.
    """
    rows = await tx.fetch(
        _INSERT,
        parent.workspace_id,
        parent.id,
        parent.category,
        parent.priority,
        parent.expires_at,
        [one.id for one in new],
        [one.recipient_id for one in new],
        [one.device_id for one in new],
        [one.channel for one in new],
        [one.address for one in new],
        [one.locale for one in new],
        [one.timezone for one in new],
        [one.state for one in new],
        [one.reason for one in new],
        [one.detail for one in new],
        [one.ready_at for one in new],
    )
    return [row["address"] for row in rows]


async def page(
    tx: Tx,
    workspace_id: UUID,
    notification_id: UUID,
    *,
    after: UUID | None,
    limit: int,
    state: State | None = None,
    channel: Channel | None = None,
) -> list[Delivery]:
    """Read up to `limit` messages of a notification behind `after`."""
    rows = await tx.fetch(_PAGE, workspace_id, notification_id, after, state, channel, limit)
    return [_delivery(row) for row in rows]


async def find(tx: Tx, workspace_id: UUID, delivery_id: UUID) -> Delivery | None:
    """Find one message."""
    row = await tx.fetchrow(_FIND, workspace_id, delivery_id)
    return _delivery(row) if row else None


async def attempts(
    tx: Tx, workspace_id: UUID, ids: Sequence[UUID]
) -> dict[DeliveryId, list[Attempt]]:
    """All calls of providers for these messages, in their order."""
    found: dict[DeliveryId, list[Attempt]] = {}
    for row in await tx.fetch(_ATTEMPTS, workspace_id, ids):
        found.setdefault(DeliveryId(row["delivery_id"]), []).append(Attempt(**dict(row)))
    return found


async def cancel(tx: Tx, workspace_id: UUID, notification_id: UUID) -> int:
    """Cancel what still waits; gives how many."""
    return changed_rows(await tx.execute(_CANCEL, workspace_id, notification_id))


async def reschedule(tx: Tx, workspace_id: UUID, notification_id: UUID, send_at: datetime) -> int:
    """Let what was never tried wait for another time; gives how many."""
    return changed_rows(await tx.execute(_RESCHEDULE, workspace_id, notification_id, send_at))


async def copy(tx: Tx, source: Notification, into: UUID, *, only_failed: bool) -> list[Row]:
    """Queue the messages of a notification once more, as another's: rows of channel, address."""
    return await tx.fetch(_COPY, source.workspace_id, source.id, into, only_failed)


async def count_troubled(tx: Tx, workspace_id: UUID, wanted: Troubled) -> int:
    """How many messages are meant."""
    return int(await tx.fetchval(_COUNT_TROUBLED, workspace_id, *wanted.values()))


async def replay(tx: Tx, workspace_id: UUID, wanted: Troubled) -> list[Row]:
    """Queue them again, as new: rows of notification_id, channel and address."""
    return await tx.fetch(_REPLAY, workspace_id, *wanted.values())
