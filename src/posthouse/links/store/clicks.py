"""The statements about clicks: writing them once, and reading what they add up to."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from uuid import UUID

from posthouse.kernel.db import Database, Tx, changed_rows
from posthouse.links import sketch
from posthouse.links.tally import COLUMNS, RollupKey, VisitorKey

_START = "0-0"
_COPY_START = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END = b"\xff\xff"

_OWN = "SELECT pg_try_advisory_lock(hashtext('clicks'), hashtext($1))"
_STILL_OWN = """
SELECT EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
    AND classid = hashtext('clicks')::bigint::bit(32)::bigint::oid
    AND objid = hashtext($1)::bigint::bit(32)::bigint::oid
)
"""
_POSITION = """
INSERT INTO click_offsets AS o (stream, incarnation, last_id) VALUES ($1, $2, '0-0')
ON CONFLICT (stream) DO UPDATE
SET restarts = o.restarts + (o.incarnation <> EXCLUDED.incarnation)::int,
    last_id = CASE WHEN o.incarnation = EXCLUDED.incarnation THEN o.last_id ELSE '0-0' END,
    incarnation = EXCLUDED.incarnation
RETURNING last_id
"""
_ADVANCE = """
UPDATE click_offsets SET last_id = $4, updated_at = now()
WHERE stream = $1 AND incarnation = $2 AND last_id = $3
"""
_NOTE_BATCHES = """
INSERT INTO click_batches (id) SELECT DISTINCT unnest($1::bytea[])
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_FORGET_BATCHES = "DELETE FROM click_batches WHERE noted_at < now() - interval '2 days'"
_ADD_ROLLUPS = """
INSERT INTO click_rollups AS r (link_id, workspace_id, dimension, slot, value, class, clicks)
SELECT * FROM unnest(
  $1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::text[], $6::smallint[],
  $7::bigint[]
)
ON CONFLICT (link_id, dimension, slot, value, class) DO UPDATE
SET clicks = r.clicks + EXCLUDED.clicks
"""
_SKETCHES = """
SELECT link_id, day, sketch FROM click_uniques
WHERE (link_id, day) IN (SELECT * FROM unnest($1::uuid[], $2::date[]))
FOR UPDATE
"""
_PUT_SKETCHES = """
INSERT INTO click_uniques (link_id, day, workspace_id, sketch, estimate)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::uuid[], $4::bytea[], $5::bigint[])
ON CONFLICT (link_id, day) DO UPDATE
SET sketch = EXCLUDED.sketch, estimate = EXCLUDED.estimate
"""
_SALT = """
WITH made AS (
  INSERT INTO click_salts (day, salt) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING RETURNING salt
)
SELECT salt FROM made UNION ALL SELECT salt FROM click_salts WHERE day = $1 LIMIT 1
"""
_FORGET_SALTS = "DELETE FROM click_salts WHERE day < $1"
_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'clicks'::regclass AND relname ~ '^clicks_[0-9]{8}$'
"""


@asynccontextmanager
async def owning_stream(db: Database, stream: str) -> AsyncGenerator[Tx | None]:
    """Lend a connection that holds the stream's lock, or None if another worker holds it."""
    async with db.session() as connection:
        if not await connection.fetchval(_OWN, stream):
            yield None
        else:
            yield connection


async def still_owns(connection: Tx, stream: str) -> bool:
    """Whether the lock is still held; an error of the connection says no by itself."""
    return bool(await connection.fetchval(_STILL_OWN, stream))


async def position(tx: Tx, stream: str, incarnation: str) -> str:
    """Where to read on: the start, if the stream has another life than when we read last."""
    last_id: str = await tx.fetchval(_POSITION, stream, incarnation)
    return last_id


async def advance(tx: Tx, stream: str, incarnation: str, last_id: str, new_id: str) -> bool:
    """Move the position; False if somebody else did."""
    return changed_rows(await tx.execute(_ADVANCE, stream, incarnation, last_id, new_id)) == 1


async def note_batches(tx: Tx, batch_ids: Sequence[bytes]) -> set[bytes]:
    """Remember batches; give those that were not known yet."""
    return {bytes(row["id"]) for row in await tx.fetch(_NOTE_BATCHES, list(batch_ids))}


async def forget_old_batches(tx: Tx) -> None:
    """Forget batches that cannot come again."""
    await tx.execute(_FORGET_BATCHES)


async def copy_clicks(tx: Tx, rows: Sequence[bytes]) -> None:
    """Write raw clicks, packed by `Tally.add`."""
    source = BytesIO(b"".join((_COPY_START, *rows, _COPY_END)))
    await tx.copy_to_table("clicks", source=source, columns=COLUMNS, format="binary")


async def add_rollups(tx: Tx, rollups: Mapping[RollupKey, int]) -> None:
    """Add counts to the rollups; in the order of the key, so that two writers cannot deadlock."""
    ordered = sorted(rollups.items())
    ids = {raw: UUID(bytes=raw) for key in rollups for raw in key[:2]}
    slots = {slot: datetime.fromtimestamp(slot, UTC) for slot in {key[3] for key in rollups}}
    await tx.execute(
        _ADD_ROLLUPS,
        [ids[key[0]] for key, _ in ordered],
        [ids[key[1]] for key, _ in ordered],
        [key[2] for key, _ in ordered],
        [slots[key[3]] for key, _ in ordered],
        [key[4] for key, _ in ordered],
        [key[5] for key, _ in ordered],
        [count for _, count in ordered],
    )


async def add_visitors(tx: Tx, visitors: Mapping[VisitorKey, set[int]]) -> None:
    """Merge visitors into the sketch of each link and UTC day."""
    epoch = date(1970, 1, 1)
    keys = [
        (UUID(bytes=link), epoch + timedelta(days=day), UUID(bytes=workspace), hashes)
        for (link, workspace, day), hashes in sorted(visitors.items())
    ]
    links, days = [key[0] for key in keys], [key[1] for key in keys]
    known = {
        (row["link_id"], row["day"]): row["sketch"]
        for row in await tx.fetch(_SKETCHES, links, days)
    }
    merged = [sketch.merge(known.get((link, day), b""), hashes) for link, day, _, hashes in keys]
    await tx.execute(
        _PUT_SKETCHES,
        links,
        days,
        [key[2] for key in keys],
        merged,
        [sketch.estimate(one) for one in merged],
    )


async def salt(tx: Tx, day: date, fresh: bytes) -> bytes:
    """The salt of a day, the same for all: the first that was drawn."""
    found: bytes | None = await tx.fetchval(_SALT, day, fresh)
    # A concurrent insert is not visible in the statement that lost to it.
    return found if found is not None else await salt(tx, day, fresh)


async def forget_old_salts(tx: Tx, before: date) -> None:
    """Forget salts, after which nobody can recompute a visitor's hash."""
    await tx.execute(_FORGET_SALTS, before)


async def make_partition(tx: Tx, day: date) -> None:
    """Make the partition of a UTC day if it is not there."""
    following = day + timedelta(days=1)
    await tx.execute(
        f"CREATE TABLE IF NOT EXISTS clicks_{day:%Y%m%d} PARTITION OF clicks "
        f"FOR VALUES FROM ('{day} 00:00+00') TO ('{following} 00:00+00')"
    )


async def drop_partitions(tx: Tx, before: date) -> None:
    """Drop the partitions of days before `before`."""
    for row in await tx.fetch(_PARTITIONS):
        if row["relname"] < f"clicks_{before:%Y%m%d}":
            await tx.execute(f"DROP TABLE {row['relname']}")
