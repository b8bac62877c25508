"""The front door of tasks."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from posthouse.kernel.auth import Principal
from posthouse.kernel.work import WorkKind
from posthouse.tasks.errors import TaskEndedError, TaskNotFoundError
from posthouse.tasks.importing import ImportKind, RowProblem
from posthouse.tasks.imports import EmptyUploadError, Imports
from posthouse.tasks.model import TASK, NewTask, Progress, Task, TaskId, TaskStatus
from posthouse.tasks.service import Tasks

__all__ = [
    "TASK", "EmptyUploadError", "ImportKind", "Imports", "Progress", "RowProblem", "Task",
    "TaskStatus", "TasksDoor",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TasksDoor:
    """What other slices may ask of tasks; inside `db.begin()` it joins their transaction."""

    tasks: Tasks
    imports: Imports

    async def submit(self, principal: Principal, kind: str, given: Mapping[str, Any]) -> UUID:
        """Accept a task of one of the caller's own kinds; give its id.

        `given` is what the kind takes, checked by the slice that submits it.
        """
        return (await self.tasks.submit(principal, NewTask(kind, given))).id

    async def find_many(self, principal: Principal, ids: Sequence[UUID]) -> Mapping[UUID, Task]:
        """Those of these tasks that are the caller's and still known."""
        found = await self.tasks.find_many(principal, [TaskId(one) for one in ids])
        return {task.id: task for task in found.values()}

    async def stop(self, principal: Principal, task_id: UUID) -> None:
        """Cancel a task if it has not ended."""
        with suppress(TaskNotFoundError, TaskEndedError):
            await self.tasks.cancel(principal, TaskId(task_id))

    def importing(self, kind: ImportKind) -> WorkKind:
        """The kind of work that imports rows; for a slice's manifest."""
        return self.imports.work_kind(kind)
