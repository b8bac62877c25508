"""The statements about uploads under way."""

from collections.abc import Sequence
from uuid import UUID

from posthouse.files.model import (
    ChosenRecipe,
    FileId,
    NewFile,
    Part,
    Upload,
    UploadKind,
)
from posthouse.files.store.recipes import steps_of
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Row, Tx, changed_rows

_START = """
INSERT INTO uploads (id, workspace_id, created_by, role, kind, idempotency_key, manner, name,
  declared_type, recipe, recipe_name, recipe_version, expires_in_s, metadata, length_bytes,
  reserved_bytes, lease_until, expires_at, key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
  now() + make_interval(secs => $17), now() + make_interval(hours => $18), $19)
ON CONFLICT (workspace_id, created_by, idempotency_key) DO NOTHING
RETURNING *
"""
# The first request with a key died before its end: its key is free again.
_FORGET_DEAD = """
DELETE FROM uploads
WHERE workspace_id = $1 AND created_by = $2 AND idempotency_key = $3 AND NOT is_done
  AND lease_until < now()
RETURNING reserved_bytes
"""
_EARLIER = """
SELECT * FROM uploads WHERE workspace_id = $1 AND created_by = $2 AND idempotency_key = $3
"""
_FIND = "SELECT * FROM uploads WHERE workspace_id = $1 AND id = $2 AND expires_at > now()"
_TAKE = """
UPDATE uploads SET fence = fence + 1, lease_until = now() + make_interval(secs => $3)
WHERE workspace_id = $1 AND id = $2 AND expires_at > now() AND NOT is_done
  AND (lease_until IS NULL OR lease_until < now())
RETURNING *
"""
_HOLD = """
UPDATE uploads SET lease_until = now() + make_interval(secs => $3)
WHERE id = $1 AND fence = $2 AND NOT is_done
"""
_LET_GO = "UPDATE uploads SET lease_until = NULL WHERE id = $1 AND fence = $2"
_ADD_PARTS = """
WITH grown AS (
  UPDATE uploads SET offset_bytes = offset_bytes + $4
  WHERE id = $1 AND fence = $2 AND offset_bytes = $3 AND NOT is_done
  RETURNING id
)
INSERT INTO upload_parts (upload_id, offset_bytes, size_bytes, key)
SELECT grown.id, part.* FROM grown, unnest($5::bigint[], $6::bigint[], $7::text[]) AS part
"""
_NOTE_KEY = "UPDATE uploads SET key = $3 WHERE id = $1 AND fence = $2"
_DECLARE = """
UPDATE uploads SET length_bytes = $3 WHERE id = $1 AND fence = $2 AND length_bytes IS NULL
"""
_GROW = "UPDATE uploads SET reserved_bytes = reserved_bytes + $2 WHERE id = $1"
_PARTS = """
SELECT p.offset_bytes, p.size_bytes, p.key
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, place)
JOIN upload_parts p ON p.upload_id = wanted.id ORDER BY wanted.place, p.offset_bytes
"""
_FILL = "UPDATE uploads SET offset_bytes = length_bytes WHERE id = $1"
# Parts hand over to what they are put together to, so their own end does not delete the bytes.
_FINISH = """
WITH held AS (
  SELECT id, reserved_bytes FROM uploads
  WHERE id = $1 AND fence = $2 AND NOT is_done FOR UPDATE
)
UPDATE uploads u
SET is_done = true, digest = $3, reserved_bytes = 0, lease_until = NULL, key = NULL
FROM held WHERE u.id = held.id
RETURNING held.reserved_bytes
"""
# Without a key there is nothing to remember.
_FORGET_SINGLE = "DELETE FROM uploads WHERE id = $1 AND idempotency_key IS NULL"
_END_SINGLE = """
UPDATE uploads
SET is_done = true, digest = $2, manner = $3, reserved_bytes = 0, lease_until = NULL, key = NULL
WHERE id = $1 AND NOT is_done
"""
_DROP_PARTS = "DELETE FROM upload_parts WHERE upload_id = $1 RETURNING key"
_ABANDON = """
DELETE FROM uploads WHERE workspace_id = $1 AND id = $2 AND NOT is_done RETURNING reserved_bytes
"""
_DROP = "DELETE FROM uploads WHERE workspace_id = $1 AND id = $2 RETURNING reserved_bytes"
# A single request that died gives its room back; what is done keeps its key for a day.
_STALE = """
DELETE FROM uploads WHERE id IN (
  SELECT id FROM uploads
  WHERE expires_at < now() OR (kind = 'single' AND NOT is_done AND lease_until < now())
  ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING workspace_id, reserved_bytes
"""
_LEFT = """
SELECT * FROM uploads
WHERE kind IN ('tus', 'final') AND NOT is_done AND offset_bytes = length_bytes
  AND (lease_until IS NULL OR lease_until < now()) AND expires_at > now()
LIMIT $1
"""


def _upload(row: Row) -> Upload:
    recipe = row["recipe"]
    chosen = (
        None
        if recipe is None
        else ChosenRecipe(steps_of(recipe), row["recipe_name"], row["recipe_version"])
    )
    return Upload(
        id=FileId(row["id"]),
        workspace_id=row["workspace_id"],
        created_by=row["created_by"],
        role=Role(row["role"]),
        kind=UploadKind(row["kind"]),
        manner=row["manner"],
        digest=row["digest"],
        new=NewFile(row["name"], row["declared_type"], chosen, row["expires_in_s"]),
        metadata=row["metadata"],
        length_bytes=row["length_bytes"],
        offset_bytes=row["offset_bytes"],
        reserved_bytes=row["reserved_bytes"],
        fence=row["fence"],
        is_done=row["is_done"],
        expires_at=row["expires_at"],
    )


async def start(  # noqa: PLR0913  what is said at the start of an upload
    tx: Tx,
    owner: Principal,
    upload_id: FileId,
    kind: UploadKind,
    new: NewFile,
    *,
    key: str | None = None,
    manner: str = "",
    metadata: str = "",
    length_bytes: int | None = None,
    reserved_bytes: int = 0,
    lease_s: float | None = None,
    hours: int = 24,
    stored_as: str | None = None,
) -> Upload | None:
    """Begin an upload; None if its key was used before."""
    recipe = new.recipe
    row = await tx.fetchrow(
        _START,
        upload_id,
        owner.workspace_id,
        owner.actor,
        owner.role,
        kind,
        key,
        manner,
        new.name,
        new.declared_type,
        None if recipe is None else [step.as_json() for step in recipe.steps],
        None if recipe is None else recipe.name,
        None if recipe is None else recipe.version,
        new.expires_in_s,
        metadata,
        length_bytes,
        reserved_bytes,
        lease_s,
        hours,
        stored_as,
    )
    return None if row is None else _upload(row)


async def note_key(tx: Tx, held: Upload, key: str) -> None:
    """Note under which key its parts are put together, so that no sweep takes them for orphans."""
    await tx.execute(_NOTE_KEY, held.id, held.fence, key)


async def forget_dead(tx: Tx, owner: Principal, key: str) -> int:
    """Free a key whose request died; give the room that it had reserved."""
    found = await tx.fetchval(_FORGET_DEAD, owner.workspace_id, owner.actor, key)
    return int(found or 0)


async def earlier(tx: Tx, owner: Principal, key: str) -> Upload | None:
    """Find the upload that a key was used for."""
    row = await tx.fetchrow(_EARLIER, owner.workspace_id, owner.actor, key)
    return None if row is None else _upload(row)


async def find(tx: Tx, workspace_id: UUID, upload_id: FileId) -> Upload | None:
    """Find an upload of a workspace that has not expired."""
    row = await tx.fetchrow(_FIND, workspace_id, upload_id)
    return None if row is None else _upload(row)


async def take(tx: Tx, workspace_id: UUID, upload_id: FileId, lease_s: float) -> Upload | None:
    """Hold an upload that nobody holds; None if somebody does, or it is done or gone."""
    row = await tx.fetchrow(_TAKE, workspace_id, upload_id, lease_s)
    return None if row is None else _upload(row)


async def hold(tx: Tx, held: Upload, lease_s: float) -> bool:
    """Hold it for longer; False if it is another's by now."""
    return changed_rows(await tx.execute(_HOLD, held.id, held.fence, lease_s)) > 0


async def let_go(tx: Tx, held: Upload) -> None:
    """Let others hold it at once."""
    await tx.execute(_LET_GO, held.id, held.fence)


async def add_parts(tx: Tx, held: Upload, offset_bytes: int, parts: Sequence[Part]) -> bool:
    """Count parts that are stored and follow `offset_bytes`; False if it is another's by now."""
    status = await tx.execute(
        _ADD_PARTS,
        held.id,
        held.fence,
        offset_bytes,
        sum(part.size_bytes for part in parts),
        [part.offset_bytes for part in parts],
        [part.size_bytes for part in parts],
        [part.key for part in parts],
    )
    return changed_rows(status) > 0


async def declare(tx: Tx, held: Upload, length_bytes: int) -> bool:
    """Say how long the whole will be; False if that was said before, or it is another's by now."""
    return changed_rows(await tx.execute(_DECLARE, held.id, held.fence, length_bytes)) > 0


async def grow(tx: Tx, upload_id: FileId, reserved_bytes: int) -> None:
    """Note that more room was reserved."""
    await tx.execute(_GROW, upload_id, reserved_bytes)


async def parts(tx: Tx, ids: Sequence[FileId]) -> list[Part]:
    """All parts of uploads, one upload after the other."""
    return [Part(*row) for row in await tx.fetch(_PARTS, ids)]


async def fill(tx: Tx, upload: Upload) -> None:
    """Say that all bytes are there, as others have brought them."""
    await tx.execute(_FILL, upload.id)


async def finish(tx: Tx, held: Upload, digest: bytes) -> int | None:
    """Write that it has become a file; give the room that it had reserved.

    None if it is another's by now, or done.
    """
    found: int | None = await tx.fetchval(_FINISH, held.id, held.fence, digest)
    return found


async def end_single(tx: Tx, upload: Upload, digest: bytes, manner: str) -> bool:
    """Write that an upload of one request has become a file; it is kept if it bears a key.

    False if it was given up before.
    """
    forgotten = changed_rows(await tx.execute(_FORGET_SINGLE, upload.id))
    return forgotten + changed_rows(await tx.execute(_END_SINGLE, upload.id, digest, manner)) > 0


async def drop_parts(tx: Tx, upload_id: FileId) -> list[str]:
    """Forget the parts; give their keys, whose bytes may go once the transaction has committed."""
    return [row["key"] for row in await tx.fetch(_DROP_PARTS, upload_id)]


async def drop(tx: Tx, workspace_id: UUID, upload_id: FileId) -> int | None:
    """Forget an upload; give the room that it had reserved, or None if it is gone."""
    found: int | None = await tx.fetchval(_DROP, workspace_id, upload_id)
    return found


async def abandon(tx: Tx, workspace_id: UUID, upload_id: FileId) -> int:
    """Forget an upload unless it has become a file; give the room that it had reserved."""
    found = await tx.fetchval(_ABANDON, workspace_id, upload_id)
    return int(found or 0)


async def drop_stale(tx: Tx, limit: int) -> list[tuple[UUID, int]]:
    """Forget uploads that are over; give [(workspace, the room that it had reserved), …]."""
    rows = await tx.fetch(_STALE, limit)
    return [(row["workspace_id"], row["reserved_bytes"]) for row in rows]


async def left(tx: Tx, limit: int) -> list[Upload]:
    """Uploads whose bytes are all there and that nobody makes a file of."""
    return [_upload(row) for row in await tx.fetch(_LEFT, limit)]
