"""The statements about categories, preferences and suppressions."""

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID

from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.choices import Category, Key, Reason, Suppression
from posthouse.notifications.model import Channel, Doubt, RecipientId

_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('consent of notifications', 0))"
_UNDER_WAY = """
SELECT EXISTS (
  SELECT 1 FROM deliveries
  WHERE workspace_id = $1 AND recipient_id = $2 AND state = 'sending'
    AND ($3::text IS NULL OR channel = $3)
)
"""
_UNDER_WAY_TO = """
SELECT EXISTS (
  SELECT 1 FROM deliveries
  WHERE workspace_id = $1 AND state = 'sending' AND channel = $2
    AND (CASE WHEN $2 = 'email' THEN lower(address) ELSE address END) = $3
)
"""
_STILL_UNDER_WAY = """
SELECT EXISTS (
  SELECT 1 FROM deliveries WHERE workspace_id = $1 AND id = ANY($2) AND state = 'sending'
)
"""
_CATEGORY = "key, name, is_critical, doubts, version"
_PUT_CATEGORY = f"""
INSERT INTO categories AS c (workspace_id, key, name, is_critical, doubts)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, key) DO UPDATE SET name = EXCLUDED.name,
  is_critical = EXCLUDED.is_critical, doubts = EXCLUDED.doubts, version = c.version + 1
WHERE $6::int IS NULL OR c.version = $6
RETURNING {_CATEGORY}
"""
_CATEGORIES = f"""
SELECT {_CATEGORY} FROM categories
WHERE workspace_id = $1 AND ($2::text IS NULL OR key > $2) ORDER BY key LIMIT $3
"""
_FIND_CATEGORY = f"SELECT {_CATEGORY} FROM categories WHERE workspace_id = $1 AND key = $2"
_DELETE_CATEGORY = """
DELETE FROM categories WHERE workspace_id = $1 AND key = $2 AND ($3::int IS NULL OR version = $3)
"""
# Those who switched off what becomes possible to switch off.
_RAISE_REFUSERS = """
UPDATE recipients r SET consent = consent + 1 FROM preferences p
WHERE p.workspace_id = $1 AND p.category = $2 AND NOT p.is_on AND r.id = p.recipient_id
"""
_CHOICES = """
SELECT category, channel, is_on FROM preferences WHERE workspace_id = $1 AND recipient_id = $2
"""
_CLEAR_CHOICES = """
DELETE FROM preferences
WHERE workspace_id = $1 AND recipient_id = $2 AND category = ANY($3)
"""
_PUT_CHOICES = """
INSERT INTO preferences (recipient_id, workspace_id, category, channel, is_on)
SELECT $2, $1, category, channel, is_on
FROM unnest($3::text[], $4::text[], $5::boolean[]) AS c (category, channel, is_on)
ON CONFLICT (recipient_id, category, channel)
DO UPDATE SET is_on = EXCLUDED.is_on, updated_at = now()
"""
_SUPPRESSION = "channel, address, category, reason, detail, created_at"
_SUPPRESS = f"""
INSERT INTO suppressions AS s (workspace_id, channel, address, category, reason, detail)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace_id, channel, address, category) DO UPDATE
SET reason = EXCLUDED.reason, detail = EXCLUDED.detail
RETURNING {_SUPPRESSION}
"""
_UNSUPPRESS = """
DELETE FROM suppressions
WHERE workspace_id = $1 AND channel = $2 AND address = $3 AND category = $4
"""
_SUPPRESSIONS = f"""
SELECT {_SUPPRESSION} FROM suppressions
WHERE workspace_id = $1
  AND ($2::text IS NULL OR channel = $2)
  AND ($3::text IS NULL OR reason = $3)
  AND ($4::text IS NULL OR address = $4)
  AND ($5::text IS NULL OR (channel, address, category) > ($5, $6, $7))
ORDER BY channel, address, category LIMIT $8
"""


def _category(row: Row) -> Category:
    doubts = {Channel(channel): Doubt(doubt) for channel, doubt in row["doubts"].items()}
    return Category(row["key"], row["name"], row["is_critical"], doubts, row["version"])


def _suppression(row: Row) -> Suppression:
    return Suppression(
        channel=Channel(row["channel"]),
        address=row["address"],
        category=row["category"],
        reason=Reason(row["reason"]),
        detail=row["detail"],
        created_at=row["created_at"],
    )


async def take_turn(tx: Tx) -> None:
    """Wait until all who are deciding to send have decided; later ones see what was committed."""
    await tx.execute(_TURN)


async def is_under_way(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, channel: Channel | None
) -> bool:
    """Whether something is being sent to a recipient, through any or one channel."""
    found: bool = await tx.fetchval(_UNDER_WAY, workspace_id, recipient_id, channel)
    return found


async def is_under_way_to(tx: Tx, workspace_id: UUID, channel: Channel, address: str) -> bool:
    """Whether something is being sent to an address in its form of suppressions."""
    found: bool = await tx.fetchval(_UNDER_WAY_TO, workspace_id, channel, address)
    return found


async def are_under_way(tx: Tx, workspace_id: UUID, deliveries: Sequence[UUID]) -> bool:
    """Whether one of these deliveries is being sent."""
    found: bool = await tx.fetchval(_STILL_UNDER_WAY, workspace_id, list(deliveries))
    return found


async def put_category(
    tx: Tx, workspace_id: UUID, wanted: Category, version: int | None
) -> Category | None:
    """Make or change a category; None if it has another version than `version`."""
    doubts = {channel.value: doubt.value for channel, doubt in wanted.doubts.items()}
    row = await tx.fetchrow(
        _PUT_CATEGORY, workspace_id, wanted.key, wanted.name, wanted.is_critical, doubts, version
    )
    return _category(row) if row else None


async def find_category(tx: Tx, workspace_id: UUID, key: str) -> Category | None:
    """Find a category that was made."""
    row = await tx.fetchrow(_FIND_CATEGORY, workspace_id, key)
    return _category(row) if row else None


async def categories(tx: Tx, workspace_id: UUID, after: str | None, limit: int) -> list[Category]:
    """Read categories that were made, by key."""
    rows = await tx.fetch(_CATEGORIES, workspace_id, after, limit)
    return [_category(row) for row in rows]


async def delete_category(tx: Tx, workspace_id: UUID, key: str, version: int | None) -> bool:
    """Delete a category; False if there is none of this version."""
    return changed_rows(await tx.execute(_DELETE_CATEGORY, workspace_id, key, version)) > 0


async def raise_refusers(tx: Tx, workspace_id: UUID, key: str) -> None:
    """Note that the choices of those who switched a category off count from now on."""
    await tx.execute(_RAISE_REFUSERS, workspace_id, key)


async def choices(tx: Tx, workspace_id: UUID, recipient_id: RecipientId) -> dict[Key, bool]:
    """What a recipient chose, by category and channel."""
    rows = await tx.fetch(_CHOICES, workspace_id, recipient_id)
    return {(row["category"], row["channel"]): row["is_on"] for row in rows}


async def put_choices(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, chosen: Mapping[Key, bool]
) -> None:
    """Write choices; others stay."""
    await tx.execute(
        _PUT_CHOICES,
        workspace_id,
        recipient_id,
        [category for category, _ in chosen],
        [channel for _, channel in chosen],
        list(chosen.values()),
    )


async def clear_choices(
    tx: Tx, workspace_id: UUID, recipient_id: RecipientId, categories: Sequence[str]
) -> None:
    """Forget what a recipient chose for these categories."""
    await tx.execute(_CLEAR_CHOICES, workspace_id, recipient_id, list(categories))


async def suppress(tx: Tx, workspace_id: UUID, new: Suppression) -> Suppression:
    """Add a suppression; the reason of one that is there is the new one."""
    row = await tx.fetchrow(
        _SUPPRESS, workspace_id, new.channel, new.address, new.category, new.reason, new.detail
    )
    return _suppression(cast("Row", row))  # an upsert always gives it


async def unsuppress(
    tx: Tx, workspace_id: UUID, channel: Channel, address: str, category: str
) -> bool:
    """Delete a suppression; False if there is none."""
    done = await tx.execute(_UNSUPPRESS, workspace_id, channel, address, category)
    return changed_rows(done) > 0


async def suppressions(
    tx: Tx,
    workspace_id: UUID,
    wanted: tuple[Channel | None, Reason | None, str | None],
    keyset: Keyset,
) -> list[Suppression]:
    """Read suppressions in the order of channel and address, one more than the page holds."""
    after = [str(part) for part in keyset.after] if keyset.after else [None, None, None]
    rows = await tx.fetch(_SUPPRESSIONS, workspace_id, *wanted, *after, keyset.limit + 1)
    return [_suppression(row) for row in rows]
