"""One call at a time for each key: who asks while it is under way gets its answer too.

For what is slow and the same for all who ask, such as a page of another server. `kernel.together`
is the other way round: many different questions in one go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from posthouse.kernel.errors import OverloadedError

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")


@dataclass(slots=True)
class Flights(Generic[K, A]):
    """At most `at_once` calls under way; `call` must end by itself, for nobody else ends it."""

    call: Callable[[K], Awaitable[A]]
    at_once: int = 64
    _under_way: dict[K, asyncio.Task[A]] = field(
        default_factory=dict[Any, asyncio.Task[Any]], init=False
    )

    async def ask(self, key: K) -> A:
        """Give the answer for `key`; a call goes on when the one who caused it goes away.

        Raises:
            OverloadedError: too many other keys are under way.
        """
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self.at_once:
                raise OverloadedError(retry_after_s=1)
            # In a context of its own: the asker's may hold an open transaction.
            task = asyncio.get_running_loop().create_task(self._answer(key), context=Context())
            self._under_way[key] = task
            task.add_done_callback(_look)
        return await asyncio.shield(task)

    async def _answer(self, key: K) -> A:
        try:
            return await self.call(key)
        finally:
            del self._under_way[key]


def _look(task: asyncio.Task[Any]) -> None:
    """Take note of an error even if all who asked have gone away, or asyncio complains."""
    if not task.cancelled():
        task.exception()
