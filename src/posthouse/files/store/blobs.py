"""The statements about bytes: what is visible, who uses it, how much room there is."""

from collections.abc import Sequence
from uuid import UUID

from posthouse.files.model import Blob, BlobId, Made, NewBlob
from posthouse.kernel import ids
from posthouse.kernel.db import Row, Tx

# One that is there already is touched, so that its row is locked and cannot be swept before the
# caller's transaction refers to it.
_KEEP = """
INSERT INTO blobs (id, workspace_id, sha256, size_bytes, key) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, sha256) DO UPDATE SET size_bytes = EXCLUDED.size_bytes
RETURNING id, key, size_bytes, sha256
"""
# Without a room of its own the row is made by the first reservation.
_RESERVE = """
INSERT INTO file_usage AS u (workspace_id, reserved_bytes)
SELECT $1, $2::bigint WHERE $2 <= $3::bigint
ON CONFLICT (workspace_id) DO UPDATE SET reserved_bytes = u.reserved_bytes + EXCLUDED.reserved_bytes
WHERE u.used_bytes + u.reserved_bytes + EXCLUDED.reserved_bytes <= $3
RETURNING workspace_id
"""
_RELEASE = """
UPDATE file_usage SET reserved_bytes = greatest(0, reserved_bytes - $2) WHERE workspace_id = $1
"""
_USAGE = "SELECT used_bytes, reserved_bytes FROM file_usage WHERE workspace_id = $1"
_MADE = """
SELECT m.key AS output, m.media_type, m.extension, m.facts, b.id, b.key, b.size_bytes, b.sha256
FROM made_outputs m JOIN blobs b ON b.id = m.blob_id
WHERE m.workspace_id = $1 AND m.work = $2 ORDER BY m.position
FOR KEY SHARE OF b
"""
_KEEP_MADE = """
INSERT INTO made_outputs
  (workspace_id, work, position, key, source_blob_id, blob_id, media_type, extension, facts)
SELECT $1, $2::bytea, $3::smallint, $4::text, id, $6::uuid, $7::text, $8::text, $9::jsonb
FROM blobs WHERE id = $5
ON CONFLICT (workspace_id, work, position) DO NOTHING
"""
# What was made of a content is kept as long as a file or a result has that content, or it is
# itself what an earlier step made, which a recipe that runs may go on with.
_FORGET_MADE = """
DELETE FROM made_outputs m
WHERE NOT EXISTS (SELECT FROM files f WHERE f.blob_id = m.source_blob_id)
  AND NOT EXISTS (SELECT FROM file_results r WHERE r.blob_id = m.source_blob_id)
  AND NOT EXISTS (
    SELECT FROM made_outputs e WHERE e.blob_id = m.source_blob_id AND e.work <> m.work
  )
"""
_SWEEP = """
DELETE FROM blobs WHERE id IN (
  SELECT b.id FROM blobs b
  WHERE NOT EXISTS (SELECT FROM files f WHERE f.blob_id = b.id)
    AND NOT EXISTS (SELECT FROM file_results r WHERE r.blob_id = b.id)
    AND NOT EXISTS (SELECT FROM made_outputs m WHERE m.blob_id = b.id)
  LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING key
"""
_KNOWN = """
SELECT key FROM blobs WHERE key = ANY($1)
UNION ALL SELECT key FROM upload_parts WHERE key = ANY($1)
UNION ALL SELECT key FROM uploads WHERE key = ANY($1)
"""


def blob_of(row: Row) -> Blob:
    """Read a blob out of a row."""
    return Blob(BlobId(row["id"]), row["key"], row["size_bytes"], row["sha256"])


async def keep(tx: Tx, workspace_id: UUID, new: NewBlob) -> Blob:
    """Make stored bytes visible; give the blob, which is an older one if the content is known."""
    row = await tx.fetchrow(_KEEP, ids.fresh(), workspace_id, new.sha256, new.size_bytes, new.key)
    assert row is not None  # noqa: S101  an upsert returns its row
    return blob_of(row)


async def reserve(tx: Tx, workspace_id: UUID, size_bytes: int, quota_bytes: int) -> bool:
    """Keep room for bytes that will come; False if the workspace has not got it."""
    return await tx.fetchval(_RESERVE, workspace_id, size_bytes, quota_bytes) is not None


async def release(tx: Tx, workspace_id: UUID, size_bytes: int) -> None:
    """Give back room that was kept."""
    await tx.execute(_RELEASE, workspace_id, size_bytes)


async def usage(tx: Tx, workspace_id: UUID) -> tuple[int, int]:
    """What a workspace uses and has reserved, in bytes."""
    row = await tx.fetchrow(_USAGE, workspace_id)
    return (0, 0) if row is None else (row["used_bytes"], row["reserved_bytes"])


async def made(tx: Tx, workspace_id: UUID, work: bytes) -> list[Made]:
    """What was made by the same work before; they stay at least as long as the transaction."""
    return [
        Made(row["output"], row["media_type"], row["extension"], blob_of(row), row["facts"])
        for row in await tx.fetch(_MADE, workspace_id, work)
    ]


async def keep_made(
    tx: Tx, workspace_id: UUID, work: bytes, source: BlobId, outputs: Sequence[Made]
) -> None:
    """Remember what a step made of a content."""
    await tx.executemany(
        _KEEP_MADE,
        [
            (
                workspace_id, work, position, one.key, source, one.blob.id, one.media_type,
                one.extension, dict(one.facts),
            )
            for position, one in enumerate(outputs)
        ],
    )  # fmt: skip


async def sweep(tx: Tx, limit: int) -> list[str]:
    """Forget blobs that nothing refers to; give the keys of their bytes."""
    await tx.execute(_FORGET_MADE)
    return [row["key"] for row in await tx.fetch(_SWEEP, limit)]


async def known(tx: Tx, keys: Sequence[str]) -> set[str]:
    """Those of these keys that rows know."""
    return {row["key"] for row in await tx.fetch(_KNOWN, keys)}
