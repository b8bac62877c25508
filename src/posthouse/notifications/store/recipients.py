"""The statements about recipients and their devices."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from posthouse.kernel.db import Row, Tx
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.contacts import (
    Device,
    DeviceKind,
    Found,
    Profile,
    QuietHours,
    Recipient,
)
from posthouse.notifications.model import DeviceId, RecipientId

_COLUMNS = """
  id, workspace_id, external_id, name, email, phone, locale, timezone, attributes, is_stopped,
  quiet_from, quiet_until, consent, version, created_at, updated_at
"""
_INSERT = f"""
INSERT INTO recipients (id, workspace_id, external_id, name, email, phone, locale, timezone,
  attributes, quiet_from, quiet_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (workspace_id, external_id) DO NOTHING
RETURNING {_COLUMNS}
"""
_CONSENT_GROWS = """
  CASE WHEN (r.email, r.phone, r.timezone, r.quiet_from, r.quiet_until)
    IS DISTINCT FROM ($4, $5, $7, $9::time, $10::time) THEN 1 ELSE 0 END
"""
_UPDATE = f"""
UPDATE recipients r SET name = $3, email = $4, phone = $5, locale = $6, timezone = $7,
  attributes = $8, quiet_from = $9, quiet_until = $10, version = version + 1, updated_at = now(),
  consent = consent + {_CONSENT_GROWS}
WHERE workspace_id = $1 AND id = $2
RETURNING {_COLUMNS}
"""
# A file says what it has columns for; what somebody chose stays.
_UPSERT_MANY = """
INSERT INTO recipients AS r (id, workspace_id, external_id, name, email, phone, locale, timezone,
  attributes)
SELECT g.id, $1, g.external_id, g.name, g.email, g.phone, g.locale, g.timezone,
  coalesce(g.attributes, '{}')
FROM jsonb_to_recordset($2) AS g (id uuid, external_id text, name text, email text, phone text,
  locale text, timezone text, attributes jsonb)
ON CONFLICT (workspace_id, external_id) DO UPDATE SET
  name = coalesce(EXCLUDED.name, r.name), email = coalesce(EXCLUDED.email, r.email),
  phone = coalesce(EXCLUDED.phone, r.phone), locale = coalesce(EXCLUDED.locale, r.locale),
  timezone = coalesce(EXCLUDED.timezone, r.timezone),
  attributes = r.attributes || EXCLUDED.attributes,
  version = r.version + 1, updated_at = now(),
  consent = r.consent + CASE
    WHEN EXCLUDED.email <> r.email OR EXCLUDED.phone <> r.phone
      OR EXCLUDED.timezone IS DISTINCT FROM coalesce(r.timezone, EXCLUDED.timezone)
    THEN 1 ELSE 0 END
RETURNING id, external_id
"""
_FIND = f"SELECT {_COLUMNS} FROM recipients WHERE workspace_id = $1 AND id = $2"
_FIND_BY_NAME = f"""
SELECT {_COLUMNS} FROM recipients WHERE workspace_id = $1 AND external_id = $2
"""
_LOCK = f"{_FIND} FOR UPDATE"
_LOCK_BY_NAME = f"{_FIND_BY_NAME} FOR UPDATE"
_KNOWN = "SELECT id, external_id FROM recipients WHERE workspace_id = $1 AND (id = ANY($2) OR external_id = ANY($3))"  # noqa: E501  one line reads best
_PAGE = f"""
SELECT {_COLUMNS} FROM recipients
WHERE workspace_id = $1
  AND ($2::text IS NULL OR lower(email) = lower($2))
  AND ($3::text IS NULL OR phone = $3)
  AND ($4::text IS NULL OR external_id = $4)
  AND ($5::text IS NULL OR lower(external_id) LIKE $5 OR lower(name) LIKE $5
    OR lower(email) LIKE $5)
  AND ($6::uuid IS NULL OR id < $6)
ORDER BY id DESC LIMIT $7
"""
_DELETE = "DELETE FROM recipients WHERE workspace_id = $1 AND id = $2"
_RAISE = "UPDATE recipients SET consent = consent + 1 WHERE workspace_id = $1 AND id = ANY($2)"
_CHOOSE = f"""
UPDATE recipients SET is_stopped = $3, quiet_from = $4, quiet_until = $5,
  version = version + 1, updated_at = now(), consent = consent + 1
WHERE workspace_id = $1 AND id = $2
RETURNING {_COLUMNS}
"""
_DEVICES = """
SELECT id, recipient_id, kind, token, name, created_at FROM devices
WHERE workspace_id = $1 AND recipient_id = $2 AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
_HOLDER = """
SELECT recipient_id FROM devices WHERE workspace_id = $1 AND token_digest = $2 FOR UPDATE
"""
_COUNT_DEVICES = "SELECT count(*) FROM devices WHERE workspace_id = $1 AND recipient_id = $2"
_ADD_DEVICE = """
INSERT INTO devices (id, workspace_id, recipient_id, kind, token, token_digest, name)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace_id, token_digest) DO UPDATE SET
  recipient_id = EXCLUDED.recipient_id, token = EXCLUDED.token, name = EXCLUDED.name
RETURNING id, recipient_id, kind, token, name, created_at
"""
_DROP_DEVICE = """
DELETE FROM devices WHERE workspace_id = $1 AND recipient_id = $2 AND id = $3 RETURNING id
"""
# What is under way keeps its row, so that it is known that something went out; not to whom.
_FORGET_DELIVERIES = """
WITH known AS (
  UPDATE deliveries SET recipient_id = NULL, device_id = NULL, address = NULL, locale = NULL,
    timezone = NULL, detail = '', version = version + 1, updated_at = now(),
    reason = CASE WHEN state IN ('held', 'queued', 'retry_wait') THEN 'erased' ELSE reason END,
    state = CASE WHEN state IN ('held', 'queued', 'retry_wait') THEN 'cancelled' ELSE state END
  WHERE workspace_id = $1 AND recipient_id = $2
  RETURNING id, notification_id, state
), told AS (
  UPDATE attempts SET detail = ''
  WHERE workspace_id = $1 AND delivery_id IN (SELECT id FROM known) AND detail <> ''
), heard AS (
  UPDATE receipts SET detail = ''
  WHERE workspace_id = $1 AND delivery_id IN (SELECT id FROM known) AND detail <> ''
)
SELECT id, notification_id, state IN ('leased', 'sending') AS is_under_way FROM known
"""
# Data that was for this person alone; what is sent to others too is not about one.
_FORGET_DATA = """
UPDATE notifications n SET data = '{}', links = '{}'
WHERE n.workspace_id = $1 AND n.id = ANY($2) AND n.topic_id IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM deliveries d
    WHERE d.workspace_id = $1 AND d.notification_id = n.id
      AND (d.address IS NOT NULL OR d.recipient_id IS NOT NULL
        OR d.state IN ('held', 'queued', 'leased', 'sending', 'in_doubt', 'retry_wait'))
  )
"""


def _recipient(row: Row) -> Recipient:
    fields: dict[str, Any] = dict(row)
    start, end = fields.pop("quiet_from"), fields.pop("quiet_until")
    return Recipient(**fields, quiet_hours=None if start is None else QuietHours(start, end))


def _device(row: Row) -> Device:
    fields: dict[str, Any] = dict(row)
    kind = DeviceKind(fields.pop("kind"))
    return Device(**fields, kind=kind)


def _chosen(profile: Profile) -> tuple[object, ...]:
    quiet = profile.quiet_hours
    return (
        profile.name,
        profile.email,
        profile.phone,
        profile.locale,
        profile.timezone,
        dict(profile.attributes),
        quiet and quiet.start,
        quiet and quiet.end,
    )


async def insert(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, external_id: str, profile: Profile
) -> Recipient | None:
    """Add a recipient; None if its own id is taken."""
    row = await tx.fetchrow(_INSERT, recipient_id, workspace_id, external_id, *_chosen(profile))
    return _recipient(row) if row else None


async def update(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, profile: Profile
) -> Recipient | None:
    """Write all that is known of a recipient; None if there is none."""
    row = await tx.fetchrow(_UPDATE, workspace_id, recipient_id, *_chosen(profile))
    return _recipient(row) if row else None


async def upsert_many(
    tx: Tx, workspace_id: UUID, rows: Sequence[Mapping[str, Any]]
) -> dict[str, RecipientId]:
    """Add or change recipients, each `external_id` once; give their ids by it."""
    made = await tx.fetch(_UPSERT_MANY, workspace_id, list(rows))
    return {row["external_id"]: RecipientId(row["id"]) for row in made}


async def find(
    tx: Tx, workspace_id: UUID, wanted: RecipientId | str, *, lock: bool = False
) -> Recipient | None:
    """Find a recipient by our id or by the workspace's own; with `lock` nobody changes it."""
    if isinstance(wanted, str):
        statement = _LOCK_BY_NAME if lock else _FIND_BY_NAME
    else:
        statement = _LOCK if lock else _FIND
    row = await tx.fetchrow(statement, workspace_id, wanted)
    return _recipient(row) if row else None


async def known(
    tx: Tx, workspace_id: UUID, ids: Sequence[UUID], names: Sequence[str]
) -> list[tuple[RecipientId, str]]:
    """Those of these recipients that are there, as `[(id, external_id)]`."""
    rows = await tx.fetch(_KNOWN, workspace_id, list(ids), list(names))
    return [(RecipientId(row["id"]), row["external_id"]) for row in rows]


async def page(tx: Tx, workspace_id: UUID, wanted: Found, keyset: Keyset) -> list[Recipient]:
    """Read recipients, newest first, one more than the page holds."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(
        _PAGE,
        workspace_id,
        wanted.email,
        wanted.phone,
        wanted.external_id,
        wanted.pattern,
        after,
        keyset.limit + 1,
    )
    return [_recipient(row) for row in rows]


async def raise_consent(tx: Tx, workspace_id: UUID, ids: Sequence[RecipientId]) -> None:
    """Note that something about them may forbid a message that waits, or send it elsewhere."""
    await tx.execute(_RAISE, workspace_id, list(ids))


async def choose(
    tx: Tx,
    workspace_id: UUID,
    recipient_id: RecipientId,
    quiet: QuietHours | None,
    *,
    is_stopped: bool,
) -> Recipient | None:
    """Write what a recipient wants for all categories together."""
    start, end = (None, None) if quiet is None else (quiet.start, quiet.end)
    row = await tx.fetchrow(_CHOOSE, workspace_id, recipient_id, is_stopped, start, end)
    return _recipient(row) if row else None


async def delete(tx: Tx, workspace_id: UUID, recipient_id: RecipientId) -> None:
    """Delete a recipient with its devices, preferences and memberships."""
    await tx.execute(_DELETE, workspace_id, recipient_id)


async def forget_deliveries(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId
) -> tuple[list[UUID], list[UUID]]:
    """Cancel what waits and blank who it was for.

    Gives the deliveries that are under way, and all notifications that were concerned.
    """
    rows = await tx.fetch(_FORGET_DELIVERIES, workspace_id, recipient_id)
    under_way = [row["id"] for row in rows if row["is_under_way"]]
    return under_way, sorted({row["notification_id"] for row in rows})


async def forget_data(tx: Tx, workspace_id: UUID, notifications: Sequence[UUID]) -> None:
    """Blank the data of those notifications that are for nobody else."""
    await tx.execute(_FORGET_DATA, workspace_id, list(notifications))


async def devices(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, keyset: Keyset
) -> list[Device]:
    """Read devices, newest first, one more than the page holds."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_DEVICES, workspace_id, recipient_id, after, keyset.limit + 1)
    return [_device(row) for row in rows]


async def holder(tx: Tx, workspace_id: UUID, digest: bytes) -> RecipientId | None:
    """Whose device has a token; nobody else takes it until the transaction ends."""
    found: UUID | None = await tx.fetchval(_HOLDER, workspace_id, digest)
    return None if found is None else RecipientId(found)


async def count_devices(tx: Tx, workspace_id: UUID, recipient_id: RecipientId) -> int:
    """How many devices somebody has."""
    found: int = await tx.fetchval(_COUNT_DEVICES, workspace_id, recipient_id)
    return found


async def add_device(tx: Tx, workspace_id: UUID, new: Device, digest: bytes) -> Device:
    """Add a device; one with the same token moves to its new owner and keeps its id."""
    row = await tx.fetchrow(
        _ADD_DEVICE,
        new.id,
        workspace_id,
        new.recipient_id,
        new.kind,
        new.token,
        digest,
        new.name,
    )
    return _device(cast("Row", row))  # an upsert always gives it


async def drop_device(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, device_id: DeviceId
) -> bool:
    """Delete a device; False if there is none."""
    return await tx.fetchval(_DROP_DEVICE, workspace_id, recipient_id, device_id) is not None
