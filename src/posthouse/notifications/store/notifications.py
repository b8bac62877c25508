"""The statements about what was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.model import (
    Channel,
    Filter,
    NewNotification,
    Notification,
    NotificationId,
    State,
)

_COLUMNS = """
  n.id, n.workspace_id, n.template_id, n.template_version, n.content, n.channels, n.data, n.links,
  n.attachments, n.category, n.priority, n.send_at, n.local_send_at, n.expires_at, n.topic_id,
  n.fan_out, n.task_id, n.cancelled_at, n.ended_at, n.status, n.trace_id, n.created_by, n.role,
  n.created_at
"""
_INSERT = """
INSERT INTO notifications
  (id, workspace_id, template_id, template_version, content, channels, data, links, attachments,
   category, priority, send_at, local_send_at, expires_at, topic_id, fan_out, trace_id,
   created_by, role)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_NOTE_TASK = "UPDATE notifications SET task_id = $3 WHERE workspace_id = $1 AND id = $2"
_NOTE_FAN_OUT = "UPDATE notifications SET fan_out = $3 WHERE workspace_id = $1 AND id = $2"
_FIND = f"SELECT {_COLUMNS} FROM notifications n WHERE n.workspace_id = $1 AND n.id = $2"
_LOCK = f"{_FIND} FOR UPDATE"
# What a worker is about to send of any workspace.
_LOAD = f"SELECT {_COLUMNS} FROM notifications n WHERE n.id = ANY($1)"
# Each `EXISTS` is one look into the index, however many deliveries there are.
_SHOWN = f"""
SELECT {_COLUMNS}, coalesce(n.status, CASE
  WHEN n.fan_out = 'waiting' OR EXISTS (
    SELECT FROM deliveries d WHERE d.notification_id = n.id
      AND d.state NOT IN ('held', 'queued', 'retry_wait')
  ) THEN 'sending' ELSE 'queued' END) AS shown_status
FROM notifications n
"""
_PAGE = f"""
{_SHOWN}
WHERE n.workspace_id = $1
  AND ($2::uuid IS NULL OR n.id < $2)
  AND ($3::text IS NULL OR n.category = $3)
  AND ($4::uuid IS NULL OR n.template_id = $4)
  AND ($5::timestamptz IS NULL OR n.created_at >= $5)
  AND ($6::timestamptz IS NULL OR n.created_at < $6)
  AND ($7::boolean IS NULL OR (n.ended_at IS NULL) = $7)
  AND ($8::text IS NULL OR n.status = $8)
  AND ($9::uuid IS NULL OR EXISTS (
    SELECT FROM deliveries d WHERE d.notification_id = n.id AND d.recipient_id = $9
  ))
ORDER BY n.id DESC LIMIT $10
"""
_SHOW = f"{_SHOWN} WHERE n.workspace_id = $1 AND n.id = $2"
_COUNTS = """
SELECT d.state, count(*) AS count FROM deliveries d
WHERE d.workspace_id = $1 AND d.notification_id = $2 GROUP BY d.state
"""
_CANCEL = """
UPDATE notifications SET cancelled_at = coalesce(cancelled_at, now())
WHERE workspace_id = $1 AND id = $2
"""
_RESCHEDULE = """
UPDATE notifications SET send_at = $3, local_send_at = NULL WHERE workspace_id = $1 AND id = $2
"""
_COPY = """
INSERT INTO notifications
  (id, workspace_id, template_id, template_version, content, channels, data, links, attachments,
   category, priority, trace_id, created_by, role)
SELECT $3, workspace_id, template_id, template_version, content, channels, data, links,
  attachments, category, priority, $4, $5, $6
FROM notifications WHERE workspace_id = $1 AND id = $2
"""
# What still changes by itself or by somebody's word.
_OPEN = "d.state IN ('held', 'queued', 'leased', 'sending', 'in_doubt', 'retry_wait')"
# Skipped and suppressed messages are as they should be; what was to arrive and did not is not.
_END = f"""
UPDATE notifications n SET ended_at = coalesce(n.ended_at, now()), status = e.status
FROM (
  SELECT a.id, CASE
    WHEN bad AND (good OR stopped) THEN 'partly_failed'
    WHEN bad THEN 'failed'
    WHEN stopped AND NOT good THEN 'cancelled'
    ELSE 'done' END AS status
  FROM (
    SELECT o.id,
      EXISTS (SELECT FROM deliveries d WHERE d.notification_id = o.id
        AND d.state IN ('failed', 'dead', 'expired', 'bounced')) AS bad,
      EXISTS (SELECT FROM deliveries d WHERE d.notification_id = o.id
        AND d.state IN ('sent', 'delivered', 'skipped', 'suppressed')) AS good,
      o.cancelled_at IS NOT NULL AS stopped
    FROM notifications o
    WHERE o.id = ANY($1) AND o.fan_out <> 'waiting' AND NOT EXISTS (
      SELECT FROM deliveries d WHERE d.notification_id = o.id
        AND {_OPEN}
    )
  ) AS a
) AS e
WHERE n.id = e.id AND (n.status IS NULL OR n.status <> e.status)
RETURNING n.id, n.workspace_id, n.status
"""
_REOPEN = """
UPDATE notifications SET ended_at = NULL, status = NULL WHERE workspace_id = $1 AND id = ANY($2)
"""
# Those that a worker did not get round to ending before it died.
_LEFT_OPEN = f"""
SELECT n.id FROM notifications n
WHERE n.ended_at IS NULL AND n.fan_out <> 'waiting' AND NOT EXISTS (
  SELECT FROM deliveries d WHERE d.notification_id = n.id
    AND {_OPEN}
) LIMIT 1000
"""
_FORGET = """
WITH old AS (
  SELECT id FROM notifications
  WHERE created_at < now() - make_interval(days => $1) AND ended_at IS NOT NULL
  ORDER BY created_at LIMIT 500
), tried AS (
  DELETE FROM attempts a USING deliveries d
  WHERE d.notification_id IN (SELECT id FROM old) AND a.delivery_id = d.id
)
DELETE FROM notifications WHERE id IN (SELECT id FROM old)
"""


def _notification(row: Row) -> Notification:
    fields: dict[str, Any] = dict(row)
    shown = fields.pop("shown_status", None)
    channels = fields["channels"]
    fields["status"] = shown or fields["status"]
    fields["channels"] = None if channels is None else tuple(Channel(one) for one in channels)
    fields["attachments"] = tuple(fields["attachments"])
    return Notification(**fields)


async def insert(tx: Tx, new: NewNotification) -> None:
    """Insert what was asked for."""
    await tx.execute(
        _INSERT,
        new.id,
        new.workspace_id,
        new.template_id,
        new.template_version,
        new.content,
        None if new.channels is None else list(new.channels),
        new.data,
        new.links,
        list(new.attachments),
        new.category,
        new.priority,
        new.send_at,
        new.local_send_at,
        new.expires_at,
        new.topic_id,
        "done" if new.topic_id is None else "waiting",
        new.trace_id,
        new.created_by,
        new.role,
    )


async def note_task(tx: Tx, workspace_id: UUID, notification_id: UUID, task_id: UUID) -> None:
    """Write down which task fans it out."""
    await tx.execute(_NOTE_TASK, workspace_id, notification_id, task_id)


async def note_fan_out(tx: Tx, workspace_id: UUID, notification_id: UUID, state: str) -> None:
    """Write down that all deliveries are there (`done`), or never will be (`failed`)."""
    await tx.execute(_NOTE_FAN_OUT, workspace_id, notification_id, state)


async def find(tx: Tx, workspace_id: UUID, notification_id: UUID) -> Notification | None:
    """Find one, with its status as it is now."""
    row = await tx.fetchrow(_SHOW, workspace_id, notification_id)
    return _notification(row) if row else None


async def lock(tx: Tx, workspace_id: UUID, notification_id: UUID) -> Notification | None:
    """Find one and keep others from changing it until the transaction ends."""
    row = await tx.fetchrow(_LOCK, workspace_id, notification_id)
    return _notification(row) if row else None


async def load(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Notification]:
    """Load what a worker sends."""
    rows = await tx.fetch(_LOAD, ids)
    return {row["id"]: _notification(row) for row in rows}


async def page(tx: Tx, workspace_id: UUID, wanted: Filter, keyset: Keyset) -> list[Notification]:
    """Read one page, newest first, and one more."""
    before = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(
        _PAGE,
        workspace_id,
        before,
        wanted.category,
        wanted.template_id,
        wanted.since,
        wanted.until,
        wanted.is_open,
        wanted.status,
        wanted.recipient_id,
        keyset.limit + 1,
    )
    return [_notification(row) for row in rows]


async def counts(tx: Tx, workspace_id: UUID, notification_id: UUID) -> Mapping[State, int]:
    """How many of its deliveries are in each state."""
    rows = await tx.fetch(_COUNTS, workspace_id, notification_id)
    return {State(row["state"]): row["count"] for row in rows}


async def cancel(tx: Tx, workspace_id: UUID, notification_id: UUID) -> None:
    """Write down that it is to stop."""
    await tx.execute(_CANCEL, workspace_id, notification_id)


async def reschedule(tx: Tx, workspace_id: UUID, notification_id: UUID, send_at: Any) -> None:
    """Write down another time."""
    await tx.execute(_RESCHEDULE, workspace_id, notification_id, send_at)


async def copy(tx: Tx, source: Notification, new: NewNotification) -> None:
    """Insert another one with the same content."""
    await tx.execute(
        _COPY, source.workspace_id, source.id, new.id, new.trace_id, new.created_by, new.role
    )


async def end(tx: Tx, ids: Sequence[UUID]) -> list[tuple[NotificationId, UUID, str]]:
    """End those of which nothing is open any more: [(id, workspace, status)], where it changed."""
    rows = await tx.fetch(_END, ids)
    return [(NotificationId(row["id"]), row["workspace_id"], row["status"]) for row in rows]


async def reopen(tx: Tx, workspace_id: UUID, ids: Sequence[UUID]) -> None:
    """Some of their deliveries are sent again."""
    await tx.execute(_REOPEN, workspace_id, ids)


async def left_open(tx: Tx) -> list[UUID]:
    """Those that have nothing open and have not been ended."""
    return [row["id"] for row in await tx.fetch(_LEFT_OPEN)]


async def forget(tx: Tx, keep_days: int) -> int:
    """Delete some that ended long ago, with all that belongs to them."""
    return int((await tx.execute(_FORGET, keep_days)).rpartition(" ")[2])
