"""Watching tasks: a stream of what changes, without a query for each who watches."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from posthouse.kernel.db import Database
from posthouse.kernel.together import Together
from posthouse.tasks.model import Task, TaskId
from posthouse.tasks.store import tasks as store

_LOOK_S = 0.4
# A stream ends after so many looks, and its reader comes back with the last version it saw; a
# process that stops waits for no stream for longer than that.
_LOOKS = 37
_QUIET_LOOKS = 12


@dataclass(slots=True)
class Watching:
    """Looks at watched tasks from time to time; those who look at one moment share a statement."""

    db: Database
    _looks: Together[TaskId, Task | None] = field(init=False)

    def __post_init__(self) -> None:
        self._looks = Together(self._look)

    async def _look(self, asked: Sequence[TaskId]) -> list[Task | None]:
        async with self.db.read() as connection:
            found = await store.watched(connection, asked)
        return [found.get(task_id) for task_id in asked]

    async def follow(self, task: Task, seen: int) -> AsyncGenerator[Task | None]:
        """Give the task whenever its version is above the one seen, until it has ended.

        None now and then says that it still runs, so that proxies keep the line open.
        """
        current: Task | None = task
        quiet = 0
        for _ in range(_LOOKS):
            if current is None:
                return
            if current.version > seen:
                seen, quiet = current.version, 0
                yield current
            if current.status.is_final:
                return
            quiet += 1
            if quiet % _QUIET_LOOKS == 0:
                yield None
            await asyncio.sleep(_LOOK_S)
            current = await self._looks.ask(task.id)
