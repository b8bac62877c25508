"""The statements about files and their results."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from posthouse.files.model import (
    Blob,
    BlobId,
    ChosenRecipe,
    File,
    FileFilter,
    FileId,
    FileStatus,
    NewFile,
    Result,
)
from posthouse.files.store.blobs import blob_of
from posthouse.files.store.recipes import steps_of
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Row, Tx
from posthouse.kernel.pagination import Keyset

_OF_FILES = """
  f.*, b.id AS of_blob, b.key, b.size_bytes, b.sha256
FROM files f JOIN blobs b ON b.id = f.blob_id
"""
_INSERT = """
INSERT INTO files (id, workspace_id, blob_id, name, declared_type, media_type, recipe, recipe_name,
  recipe_version, task_id, outcome, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(secs => $13))
"""
_FIND = f"SELECT {_OF_FILES} WHERE f.workspace_id = $1 AND f.id = $2"
_FIND_MANY = f"SELECT {_OF_FILES} WHERE f.workspace_id = $1 AND f.id = ANY($2)"
_PAGE = f"""
SELECT {_OF_FILES}
WHERE f.workspace_id = $1 AND ($2::uuid IS NULL OR f.id < $2)
  AND ($3::text IS NULL OR lower(f.name) LIKE $3)
  AND ($4::text IS NULL OR f.media_type = $4)
  AND ($5::text IS NULL OR f.recipe_name = $5)
ORDER BY f.id DESC LIMIT $6
"""
_DELETE = "DELETE FROM files WHERE workspace_id = $1 AND id = $2 RETURNING task_id"
_EXPIRE = """
DELETE FROM files WHERE id IN (
  SELECT id FROM files WHERE expires_at < now() ORDER BY expires_at LIMIT $1
  FOR UPDATE SKIP LOCKED
)
"""
_RESULTS = """
SELECT r.file_id, r.name, r.media_type, r.filename, r.facts,
  b.id, b.key, b.size_bytes, b.sha256
FROM file_results r JOIN blobs b ON b.id = r.blob_id
WHERE r.workspace_id = $1 AND r.file_id = ANY($2) ORDER BY r.file_id, r.position
"""
_CLEAR_RESULTS = "DELETE FROM file_results WHERE workspace_id = $1 AND file_id = $2"
_ADD_RESULT = """
INSERT INTO file_results
  (file_id, name, workspace_id, position, blob_id, media_type, filename, facts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_END = """
UPDATE files SET outcome = $3, problem = $4, receipt = coalesce($5, receipt)
WHERE workspace_id = $1 AND id = $2
RETURNING id
"""


def _file(row: Row) -> File:
    recipe = row["recipe"]
    return File(
        id=FileId(row["id"]),
        workspace_id=row["workspace_id"],
        blob=Blob(BlobId(row["of_blob"]), row["key"], row["size_bytes"], row["sha256"]),
        name=row["name"],
        declared_type=row["declared_type"],
        media_type=row["media_type"],
        recipe=None
        if recipe is None
        else ChosenRecipe(steps_of(recipe), row["recipe_name"], row["recipe_version"]),
        task_id=row["task_id"],
        outcome=None if row["outcome"] is None else FileStatus(row["outcome"]),
        problem=row["problem"],
        receipt=row["receipt"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


async def insert(
    tx: Tx,
    file_id: FileId,
    owner: Principal,
    new: NewFile,
    blob: Blob,
    media_type: str,
    task_id: UUID | None,
) -> None:
    """Add a file; one without a task is completed."""
    recipe = new.recipe
    await tx.execute(
        _INSERT,
        file_id,
        owner.workspace_id,
        blob.id,
        new.name,
        new.declared_type,
        media_type,
        None if recipe is None else [step.as_json() for step in recipe.steps],
        None if recipe is None else recipe.name,
        None if recipe is None else recipe.version,
        task_id,
        FileStatus.COMPLETED if task_id is None else None,
        owner.actor,
        new.expires_in_s,
    )


async def find(tx: Tx, workspace_id: UUID, file_id: FileId) -> File | None:
    """Find a file of a workspace."""
    row = await tx.fetchrow(_FIND, workspace_id, file_id)
    return None if row is None else _file(row)


async def find_many(tx: Tx, workspace_id: UUID, ids: Sequence[FileId]) -> list[File]:
    """Find files of a workspace, in no order."""
    return [_file(row) for row in await tx.fetch(_FIND_MANY, workspace_id, ids)]


async def page(tx: Tx, workspace_id: UUID, wanted: FileFilter, keyset: Keyset) -> list[File]:
    """Read one page and one file more, newest first."""
    rows = await tx.fetch(
        _PAGE,
        workspace_id,
        UUID(str(keyset.after[0])) if keyset.after else None,
        wanted.pattern,
        wanted.media_type,
        wanted.recipe,
        keyset.limit + 1,
    )
    return [_file(row) for row in rows]


async def delete(tx: Tx, workspace_id: UUID, file_id: FileId) -> tuple[bool, UUID | None]:
    """Delete a file with its results; whether it was there, and its task."""
    row = await tx.fetchrow(_DELETE, workspace_id, file_id)
    return (False, None) if row is None else (True, row["task_id"])


async def expire(tx: Tx, limit: int) -> None:
    """Delete files whose time is over."""
    await tx.execute(_EXPIRE, limit)


async def results(
    tx: Tx, workspace_id: UUID, ids: Sequence[FileId]
) -> Mapping[FileId, list[Result]]:
    """The results of files, each in the order of its recipe."""
    found: dict[FileId, list[Result]] = {}
    for row in await tx.fetch(_RESULTS, workspace_id, ids):
        result = Result(row["name"], blob_of(row), row["media_type"], row["filename"], row["facts"])
        found.setdefault(FileId(row["file_id"]), []).append(result)
    return found


async def put_results(tx: Tx, workspace_id: UUID, file_id: FileId, found: Sequence[Result]) -> None:
    """Write what was made of a file, in place of what was there."""
    await tx.execute(_CLEAR_RESULTS, workspace_id, file_id)
    await tx.executemany(
        _ADD_RESULT,
        [
            (
                file_id, one.name, workspace_id, position, one.blob.id, one.media_type,
                one.filename, dict(one.facts),
            )
            for position, one in enumerate(found)
        ],
    )  # fmt: skip


async def end(
    tx: Tx,
    workspace_id: UUID,
    file_id: FileId,
    outcome: FileStatus,
    *,
    problem: Mapping[str, Any] | None = None,
    receipt: Mapping[str, Any] | None = None,
) -> bool:
    """Write how the work on a file ended; False if the file is gone."""
    return await tx.fetchval(_END, workspace_id, file_id, outcome, problem, receipt) is not None
