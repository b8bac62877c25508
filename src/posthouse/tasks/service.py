"""The rules of tasks: one method is one use case and one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database
from posthouse.kernel.errors import FieldProblem, InvalidInputError
from posthouse.kernel.leases import Leases
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.problems import input_error
from posthouse.kernel.work import WorkKind, WorkKinds
from posthouse.tasks.endings import tell_end
from posthouse.tasks.errors import (
    TaskEndedError,
    TaskNotEndedError,
    TaskNotFoundError,
    UnknownKindError,
)
from posthouse.tasks.model import TASK, NewTask, Task, TaskFilter, TaskId, TaskStatus
from posthouse.tasks.settings import TasksSettings
from posthouse.tasks.store import tasks as store

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Tasks:
    """Long work: ask for it, look at it, cancel it, run it again."""

    db: Database
    kinds: WorkKinds
    leases: Leases
    settings: TasksSettings

    def kinds_for(self, principal: Principal) -> list[WorkKind]:
        """The kinds that this caller may ask for, by name."""
        del principal  # rights are checked when a task is asked for; the names are no secret
        named = sorted(self.kinds.by_name.items())
        return [kind for _, kind in named if kind.needs is not None]

    async def ask(self, principal: Principal, new: NewTask) -> Task:
        """Accept a task that a caller asked for by name.

        Raises:
            UnknownKindError: there is no such kind for callers.
            ForbiddenError: the caller lacks the right that the kind needs.
            InvalidInputError: the input is not what the kind takes; each field is named.
        """
        return await self.submit(principal, self.checked(principal, new))

    def checked(self, principal: Principal, new: NewTask) -> NewTask:
        """Give what is asked for with its input as the kind reads it.

        Raises:
            UnknownKindError: there is no such kind for callers.
            ForbiddenError: the caller lacks the right that the kind needs.
            InvalidInputError: the input is not what the kind takes; each field is named.
        """
        kind = self.kinds.by_name.get(new.kind)
        if kind is None or kind.needs is None:
            raise UnknownKindError
        principal.require(kind.needs)
        return replace(new, input=_read_input(kind, new.input))

    async def submit(
        self, principal: Principal, new: NewTask, *, task_id: TaskId | None = None
    ) -> Task:
        """Accept a task of a kind of our own, whose input its slice has checked."""
        async with self.db.begin() as tx:
            task = await store.insert(tx, task_id or TaskId(ids.fresh()), principal, new)
            await self.leases.tell(tx)
        return task

    async def find(self, principal: Principal, task_id: TaskId) -> Task:
        """Find a task of the caller's workspace.

        Raises:
            TaskNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            task = await store.find(connection, principal.workspace_id, task_id)
        if task is None:
            raise TaskNotFoundError
        return task

    async def find_many(self, principal: Principal, ids: Sequence[TaskId]) -> Mapping[TaskId, Task]:
        """Those of these tasks that are the caller's and still known."""
        async with self.db.read() as connection:
            return await store.find_many(connection, principal.workspace_id, ids)

    async def page(self, principal: Principal, wanted: TaskFilter, keyset: Keyset) -> list[Task]:
        """Read one page and one task more, newest first."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, wanted, keyset)

    async def cancel(self, principal: Principal, task_id: TaskId) -> Task:
        """Cancel a task at once, or ask it to stop if it runs. Safe to repeat.

        Raises:
            TaskNotFoundError: there is none.
            TaskEndedError: it completed or failed before.
        """
        grace = timedelta(seconds=self.settings.cancel_grace_s)
        async with self.db.begin() as tx:
            task = await store.cancel(tx, principal.workspace_id, task_id, grace)
            if task is None:
                found = await self.find(principal, task_id)
                if found.status is not TaskStatus.CANCELLED:
                    raise TaskEndedError(f"It is {found.status}.")
                return found
            await audit.record(tx, principal, "task.cancelled", TASK.show(task_id))
            if task.status is TaskStatus.CANCELLED:
                await tell_end(tx, self.kinds, task)
        return task

    async def retry(self, principal: Principal, task_id: TaskId) -> Task:
        """Run a failed or cancelled task again, with all its attempts.

        Raises:
            TaskNotFoundError: there is none.
            TaskNotEndedError: it still runs or waits, or it completed.
        """
        async with self.db.begin() as tx:
            task = await store.retry(tx, principal.workspace_id, task_id)
            if task is None:
                found = await self.find(principal, task_id)
                raise TaskNotEndedError(f"It is {found.status}.")
            await audit.record(tx, principal, "task.retried", TASK.show(task_id))
            await self.leases.tell(tx)
        return task

    async def purge(self) -> None:
        """Delete tasks that ended long ago, in batches. Safe to repeat."""
        age = timedelta(days=self.settings.keep_days)
        while True:
            async with self.db.begin() as tx:
                if await store.purge(tx, age, _BATCH) < _BATCH:
                    return


def _read_input(kind: WorkKind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give a kind's input in the form that is kept.

    Raises:
        InvalidInputError: it is not what the kind takes.
    """
    try:
        read = kind.takes.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        found = [{**one, "loc": ("body", "input", *one["loc"])} for one in error.errors()]
        refusal = input_error(found)
        raise refusal from error
    if b"\\u0000" in to_json(read):
        words = "it holds a NUL character"
        raise InvalidInputError(fields=[FieldProblem("body.input", "invalid-character", words)])
    return read
