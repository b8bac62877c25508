"""The statements about imports: what was sent, in pieces, and what was wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Tx
from posthouse.tasks.importing import RowProblem
from posthouse.tasks.model import TaskId

_START = """
INSERT INTO imports (task_id, workspace_id, actor, key, manner) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, actor, key) DO NOTHING
RETURNING task_id
"""
# One that nobody has added to for so long was left by a process that died.
_FORGET_DEAD = """
DELETE FROM imports
WHERE workspace_id = $1 AND actor = $2 AND key = $3 AND digest IS NULL
  AND touched_at < now() - interval '2 minutes'
"""
_FIRST = """
SELECT task_id, manner, digest FROM imports WHERE workspace_id = $1 AND actor = $2 AND key = $3
"""
_ADD_PIECE = """
WITH touched AS (UPDATE imports SET touched_at = now() WHERE task_id = $1 RETURNING task_id)
INSERT INTO import_pieces (task_id, number, data) SELECT task_id, $2, $3 FROM touched
"""
_FINISH = "UPDATE imports SET digest = $2, size_bytes = $3 WHERE task_id = $1"
_SIZE = "SELECT size_bytes FROM imports WHERE task_id = $1"
_PIECE = "SELECT data FROM import_pieces WHERE task_id = $1 AND number = $2"
_DROP = "DELETE FROM imports WHERE task_id = $1"
_DROP_PIECES = "DELETE FROM import_pieces WHERE task_id = $1"
_CLEAR_PROBLEMS = "DELETE FROM import_problems WHERE task_id = $1"
_ADD_PROBLEMS = """
INSERT INTO import_problems (task_id, workspace_id, row, field, code, message)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[])
"""
_PROBLEMS = """
SELECT id, row, field, code, message FROM import_problems
WHERE workspace_id = $1 AND task_id = $2 AND id > $3 ORDER BY id LIMIT $4
"""
_PURGE = """
DELETE FROM imports i WHERE touched_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = i.task_id)
"""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The import that a key was used for; without a digest it is still being sent."""

    task_id: TaskId
    manner: str
    digest: bytes | None


async def start(tx: Tx, task_id: TaskId, owner: Principal, key: str | None, manner: str) -> bool:
    """Begin to take pieces in; False if the key was used before."""
    await tx.execute(_FORGET_DEAD, owner.workspace_id, owner.actor, key)
    made = await tx.fetchval(_START, task_id, owner.workspace_id, owner.actor, key, manner)
    return made is not None


async def earlier(tx: Tx, owner: Principal, key: str) -> Earlier | None:
    """Find what the key was used for."""
    row = await tx.fetchrow(_FIRST, owner.workspace_id, owner.actor, key)
    return None if row is None else Earlier(row["task_id"], row["manner"], row["digest"])


async def add_piece(tx: Tx, task_id: TaskId, number: int, data: bytes) -> None:
    """Keep a piece; numbers count from 0."""
    await tx.execute(_ADD_PIECE, task_id, number, data)


async def finish(tx: Tx, task_id: TaskId, digest: bytes, size_bytes: int) -> None:
    """Note that all pieces are there."""
    await tx.execute(_FINISH, task_id, digest, size_bytes)


async def size_bytes(tx: Tx, task_id: UUID) -> int:
    """How many bytes were sent."""
    return int(await tx.fetchval(_SIZE, task_id) or 0)


async def piece(tx: Tx, task_id: UUID, number: int) -> bytes | None:
    """Read a piece; None behind the last one."""
    data: bytes | None = await tx.fetchval(_PIECE, task_id, number)
    return data


async def drop(tx: Tx, task_id: TaskId) -> None:
    """Forget an import that was not sent to its end."""
    await tx.execute(_DROP, task_id)


async def drop_pieces(tx: Tx, task_id: UUID) -> None:
    """Forget what was sent, as it is imported; its key and its report stay."""
    await tx.execute(_DROP_PIECES, task_id)


async def clear_problems(tx: Tx, task_id: UUID) -> None:
    """Forget the problems of an earlier attempt."""
    await tx.execute(_CLEAR_PROBLEMS, task_id)


async def add_problems(
    tx: Tx, task_id: UUID, workspace_id: UUID, problems: Sequence[RowProblem]
) -> None:
    """Add to the report."""
    await tx.execute(
        _ADD_PROBLEMS,
        task_id,
        workspace_id,
        [one.row for one in problems],
        [one.field for one in problems],
        [one.code for one in problems],
        [one.message for one in problems],
    )


async def problems(
    tx: Tx, workspace_id: UUID, task_id: UUID, after: int, limit: int
) -> list[tuple[int, RowProblem]]:
    """Read a part of the report, each with its place in it."""
    rows = await tx.fetch(_PROBLEMS, workspace_id, task_id, after, limit)
    return [
        (row["id"], RowProblem(row["row"], row["field"], row["code"], row["message"]))
        for row in rows
    ]


async def purge(tx: Tx) -> None:
    """Delete what was never sent to its end, and what belonged to deleted tasks."""
    await tx.execute(_PURGE)
