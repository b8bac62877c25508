"""The statements about schedules."""

from datetime import datetime
from typing import Any
from uuid import UUID

from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset
from posthouse.tasks.model import NewSchedule, Schedule, ScheduleId

_INSERT = """
INSERT INTO task_schedules
  (id, workspace_id, name, kind, input, cron, zone, next_at, created_by, role)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING *
"""
_FIND = "SELECT * FROM task_schedules WHERE workspace_id = $1 AND id = $2"
_PAGE = """
SELECT * FROM task_schedules WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""
_UPDATE = """
UPDATE task_schedules SET name = $4, input = $5, cron = $6, zone = $7, is_paused = $8,
  next_at = $9, version = version + 1
WHERE workspace_id = $1 AND id = $2 AND version = $3
RETURNING *
"""
_DELETE = """
DELETE FROM task_schedules
WHERE workspace_id = $1 AND id = $2 AND ($3::int IS NULL OR version = $3)
"""
_DUE = """
SELECT *, now() AS now FROM task_schedules WHERE NOT is_paused AND next_at <= now()
ORDER BY next_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""
_MOVE = "UPDATE task_schedules SET last_at = $3, next_at = $4 WHERE workspace_id = $1 AND id = $2"
_NOW = "SELECT now()"


def _schedule(row: Row) -> Schedule:
    fields: dict[str, Any] = {name: row[name] for name in Schedule.__slots__}
    fields["role"] = Role(row["role"])
    return Schedule(**fields)


async def now(tx: Tx) -> datetime:
    """The present moment by the database, whose clock is the one that counts here."""
    moment: datetime = await tx.fetchval(_NOW)
    return moment


async def insert(
    tx: Tx, schedule_id: ScheduleId, owner: Principal, new: NewSchedule, next_at: datetime
) -> Schedule:
    """Add a schedule."""
    row = await tx.fetchrow(
        _INSERT,
        schedule_id,
        owner.workspace_id,
        new.name,
        new.kind,
        new.input,
        new.cron,
        new.zone,
        next_at,
        owner.actor,
        owner.role,
    )
    assert row is not None  # noqa: S101  an INSERT returns its row
    return _schedule(row)


async def find(tx: Tx, workspace_id: UUID, schedule_id: ScheduleId) -> Schedule | None:
    """Find a schedule of a workspace."""
    row = await tx.fetchrow(_FIND, workspace_id, schedule_id)
    return None if row is None else _schedule(row)


async def page(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Schedule]:
    """Read one page and one schedule more, newest first."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_PAGE, workspace_id, after, keyset.limit + 1)
    return [_schedule(row) for row in rows]


async def update(tx: Tx, changed: Schedule) -> Schedule | None:
    """Write a changed schedule over the version that it was read at; None if that is gone."""
    row = await tx.fetchrow(
        _UPDATE,
        changed.workspace_id,
        changed.id,
        changed.version,
        changed.name,
        changed.input,
        changed.cron,
        changed.zone,
        changed.is_paused,
        changed.next_at,
    )
    return None if row is None else _schedule(row)


async def delete(tx: Tx, workspace_id: UUID, schedule_id: ScheduleId, version: int | None) -> bool:
    """Delete a schedule, of this version if one is named; whether it was there."""
    return changed_rows(await tx.execute(_DELETE, workspace_id, schedule_id, version)) == 1


async def due(tx: Tx) -> list[tuple[Schedule, datetime]]:
    """Lock schedules whose time has come; each with the database's present moment."""
    return [(_schedule(row), row["now"]) for row in await tx.fetch(_DUE)]


async def move(tx: Tx, schedule: Schedule, next_at: datetime) -> None:
    """Note that a schedule's task was made, and when the next one is due."""
    await tx.execute(_MOVE, schedule.workspace_id, schedule.id, schedule.next_at, next_at)
