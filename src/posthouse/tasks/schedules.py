"""Schedules: tasks that are made by the clock, once each, however many workers look."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database
from posthouse.kernel.errors import StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.tasks import cron
from posthouse.tasks.errors import ScheduleNotFoundError
from posthouse.tasks.model import (
    SCHEDULE,
    NewSchedule,
    NewTask,
    Schedule,
    ScheduleId,
    TaskId,
)
from posthouse.tasks.service import Tasks
from posthouse.tasks.store import schedules as store
from posthouse.tasks.store import tasks as task_store


@dataclass(frozen=True, slots=True)
class Schedules:
    """Make schedules, change them, and make the tasks that are due."""

    db: Database
    tasks: Tasks

    async def make(self, principal: Principal, new: NewSchedule) -> Schedule:
        """Make a schedule.

        Raises:
            UnknownKindError: there is no such kind for callers.
            ForbiddenError: the caller lacks the right that the kind needs.
            InvalidInputError: the input is not what the kind takes.
            ScheduleInvalidError: the expression or the zone cannot be followed.
        """
        new = replace(new, input=self.tasks.checked(principal, NewTask(new.kind, new.input)).input)
        async with self.db.begin() as tx:
            next_at = cron.next_after(new.cron, new.zone, await store.now(tx))
            schedule = await store.insert(tx, ScheduleId(ids.fresh()), principal, new, next_at)
            await audit.record(tx, principal, "schedule.made", SCHEDULE.show(schedule.id))
        return schedule

    async def find(self, principal: Principal, schedule_id: ScheduleId) -> Schedule:
        """Find a schedule of the caller's workspace.

        Raises:
            ScheduleNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            schedule = await store.find(connection, principal.workspace_id, schedule_id)
        if schedule is None:
            raise ScheduleNotFoundError
        return schedule

    async def page(self, principal: Principal, keyset: Keyset) -> list[Schedule]:
        """Read one page and one schedule more, newest first."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, keyset)

    async def edit(
        self,
        principal: Principal,
        schedule_id: ScheduleId,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Schedule:
        """Change the fields of `changes`; the next time is counted from now.

        Raises:
            ScheduleNotFoundError: there is none.
            StaleError: it is not at `version` any more.
            InvalidInputError: the input is not what the kind takes.
            ScheduleInvalidError: the expression or the zone cannot be followed.
        """
        async with self.db.begin() as tx:
            found = await self.find(principal, schedule_id)
            if version is not None and found.version != version:
                raise StaleError
            changed = replace(found, **changes)
            wanted = NewTask(changed.kind, changed.input)
            next_at = cron.next_after(changed.cron, changed.zone, await store.now(tx))
            saved = await store.update(
                tx,
                replace(
                    changed, next_at=next_at, input=self.tasks.checked(principal, wanted).input
                ),
            )
            if saved is None:
                raise StaleError
            await audit.record(
                tx, principal, "schedule.edited", SCHEDULE.show(schedule_id), {"fields": [*changes]}
            )
        return saved

    async def delete(
        self, principal: Principal, schedule_id: ScheduleId, *, version: int | None = None
    ) -> None:
        """Delete a schedule; tasks that it made stay.

        Raises:
            ScheduleNotFoundError: there is none.
            StaleError: it is not at `version` any more.
        """
        async with self.db.begin() as tx:
            if not await store.delete(tx, principal.workspace_id, schedule_id, version):
                await self.find(principal, schedule_id)
                raise StaleError
            await audit.record(tx, principal, "schedule.deleted", SCHEDULE.show(schedule_id))

    async def promote(self) -> int:
        """Make the tasks that are due; give how many. May run in many workers at once.

        Runs that were missed, because no worker was there, are made up for by one task.
        """
        async with self.db.begin() as tx:
            due = await store.due(tx)
            for schedule, now in due:
                owner = Principal(schedule.workspace_id, schedule.created_by, schedule.role)
                await task_store.insert(
                    tx,
                    TaskId(ids.fresh()),
                    owner,
                    NewTask(schedule.kind, schedule.input),
                    schedule_id=schedule.id,
                )
                next_at = cron.next_after(schedule.cron, schedule.zone, now)
                await store.move(tx, schedule, next_at)
            if due:
                await self.tasks.leases.tell(tx)
        return len(due)
