"""The statements about tasks; those that claim and hold them are `kernel.leases`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset
from posthouse.tasks.model import (
    STATUS_OF,
    NewTask,
    Priority,
    Progress,
    ScheduleId,
    Task,
    TaskFilter,
    TaskId,
)

_INSERT = """
INSERT INTO tasks (id, workspace_id, kind, input, priority, run_at, ready_at, deadline_at,
  schedule_id, created_by, role, state)
SELECT $1, $2, $3, $4, $5, due, due, $7, $8, $9, $10,
  CASE WHEN due <= now() THEN 'ready' ELSE 'waiting' END
FROM (SELECT coalesce($6::timestamptz, now()) AS due) AS one
RETURNING *
"""
_FIND = "SELECT * FROM tasks WHERE workspace_id = $1 AND id = $2"
_FIND_MANY = "SELECT * FROM tasks WHERE workspace_id = $1 AND id = ANY($2)"
_WATCHED = "SELECT * FROM tasks WHERE id = ANY($1)"
_PAGE = """
SELECT * FROM tasks
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2)
  AND ($3::text[] IS NULL OR state = ANY($3)) AND ($4::text IS NULL OR kind = $4)
  AND ($5::uuid IS NULL OR schedule_id = $5)
ORDER BY id DESC LIMIT $6
"""
_CANCEL = """
UPDATE tasks
SET state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
    finished_at = CASE WHEN state <> 'running' THEN now() END,
    cancel_by = CASE WHEN state = 'running' THEN coalesce(cancel_by, now() + $3) END,
    version = version + 1
WHERE workspace_id = $1 AND id = $2 AND state IN ('waiting', 'ready', 'running')
RETURNING *
"""
_RETRY = """
UPDATE tasks
SET state = 'ready', ready_at = now(), attempts = 0, done = 0, total = NULL, message = '',
    result = NULL, error = NULL, finished_at = NULL, started_at = NULL, cancel_by = NULL,
    deadline_at = NULL, version = version + 1
WHERE workspace_id = $1 AND id = $2 AND state IN ('failed', 'dead', 'cancelled')
RETURNING *
"""
_CANCELLED = """
SELECT id, cancel_by < now() AS is_overdue FROM tasks WHERE id = ANY($1) AND cancel_by IS NOT NULL
"""
_PROGRESS = """
UPDATE tasks SET done = told.done, total = told.total, message = told.message,
  version = version + 1
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::text[])
  AS told (id, token, done, total, message)
WHERE tasks.id IN (
  SELECT id FROM tasks WHERE id = ANY($1) AND state = 'running' FOR UPDATE SKIP LOCKED
) AND tasks.id = told.id AND tasks.token = told.token
"""
_NOTE_END = """
UPDATE tasks SET result = $2, error = $3, done = $4, total = $5, message = $6, finished_at = now()
WHERE id = $1
RETURNING cancel_by IS NOT NULL
"""
_NOTE_ERROR = """
UPDATE tasks SET error = $2, finished_at = CASE WHEN state = 'dead' THEN now() END WHERE id = $1
"""
_NOTE_LOST = "UPDATE tasks SET error = $2, finished_at = now() WHERE id = ANY($1)"
_PURGE = """
DELETE FROM tasks WHERE id IN (
  SELECT id FROM tasks WHERE finished_at < now() - $1::interval ORDER BY finished_at LIMIT $2
)
"""


def task_of(row: Row) -> Task:
    """Read a task out of a whole row."""
    return Task(
        id=TaskId(row["id"]),
        workspace_id=row["workspace_id"],
        kind=row["kind"],
        status=STATUS_OF[row["state"]],
        priority=Priority(row["priority"]),
        input=row["input"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        deadline_at=row["deadline_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        attempts=row["attempts"],
        progress=Progress(row["done"], row["total"], row["message"]),
        result=row["result"],
        error=row["error"],
        is_cancelling=row["cancel_by"] is not None and row["state"] == "running",
        schedule_id=row["schedule_id"],
        version=row["version"],
    )


async def insert(
    tx: Tx,
    task_id: TaskId,
    owner: Principal,
    new: NewTask,
    *,
    schedule_id: ScheduleId | None = None,
) -> Task:
    """Add a task; it is ready at once unless it is to run later."""
    row = await tx.fetchrow(
        _INSERT,
        task_id,
        owner.workspace_id,
        new.kind,
        new.input,
        new.priority,
        new.run_at,
        new.deadline_at,
        schedule_id,
        owner.actor,
        owner.role,
    )
    assert row is not None  # noqa: S101  an INSERT returns its row
    return task_of(row)


async def find(tx: Tx, workspace_id: UUID, task_id: TaskId) -> Task | None:
    """Find a task of a workspace."""
    row = await tx.fetchrow(_FIND, workspace_id, task_id)
    return None if row is None else task_of(row)


async def find_many(tx: Tx, workspace_id: UUID, ids: Sequence[TaskId]) -> dict[TaskId, Task]:
    """Find tasks of a workspace by their ids."""
    rows = await tx.fetch(_FIND_MANY, workspace_id, ids)
    return {row["id"]: task_of(row) for row in rows}


async def watched(tx: Tx, ids: Sequence[TaskId]) -> dict[TaskId, Task]:
    """Read tasks whose watchers were checked when they began to watch."""
    return {row["id"]: task_of(row) for row in await tx.fetch(_WATCHED, ids)}


async def page(tx: Tx, workspace_id: UUID, wanted: TaskFilter, keyset: Keyset) -> list[Task]:
    """Read one page and one task more, newest first."""
    states = [state for state, status in STATUS_OF.items() if status is wanted.status]
    rows = await tx.fetch(
        _PAGE,
        workspace_id,
        UUID(str(keyset.after[0])) if keyset.after else None,
        states or None,
        wanted.kind,
        wanted.schedule_id,
        keyset.limit + 1,
    )
    return [task_of(row) for row in rows]


async def cancel(tx: Tx, workspace_id: UUID, task_id: TaskId, grace: timedelta) -> Task | None:
    """Cancel a task that has not ended; one that runs is asked to stop within `grace`."""
    row = await tx.fetchrow(_CANCEL, workspace_id, task_id, grace)
    return None if row is None else task_of(row)


async def retry(tx: Tx, workspace_id: UUID, task_id: TaskId) -> Task | None:
    """Make a failed or cancelled task ready again, with all its attempts."""
    row = await tx.fetchrow(_RETRY, workspace_id, task_id)
    return None if row is None else task_of(row)


async def cancelled(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Which of these are to stop, and whether their time to do so is over."""
    return {row["id"]: row["is_overdue"] for row in await tx.fetch(_CANCELLED, ids)}


async def note_progress(tx: Tx, told: Sequence[tuple[UUID, int, Progress]]) -> None:
    """Write the progress of tasks, each with its token; those that are no longer ours stay."""
    await tx.execute(
        _PROGRESS,
        [task_id for task_id, _, _ in told],
        [token for _, token, _ in told],
        [progress.done for _, _, progress in told],
        [progress.total for _, _, progress in told],
        [progress.message for _, _, progress in told],
    )


async def note_end(
    tx: Tx,
    task_id: UUID,
    progress: Progress,
    *,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """Write how a task ended, before the lease writes its state in the same transaction.

    Gives whether somebody had cancelled it.
    """
    return bool(
        await tx.fetchval(
            _NOTE_END, task_id, result, error, progress.done, progress.total, progress.message
        )
    )


async def note_error(tx: Tx, task_id: UUID, error: Mapping[str, Any]) -> None:
    """Write why an attempt failed; the lease has written what follows from it."""
    await tx.execute(_NOTE_ERROR, task_id, error)


async def note_lost(tx: Tx, ids: Sequence[UUID], error: Mapping[str, Any]) -> None:
    """Write why tasks are given up whose workers died."""
    await tx.execute(_NOTE_LOST, ids, error)


async def purge(tx: Tx, age: timedelta, limit: int) -> int:
    """Delete up to `limit` tasks that ended longer ago than `age`."""
    return changed_rows(await tx.execute(_PURGE, age, limit))
