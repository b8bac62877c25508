"""Answers what is asked at the same time in one go, such as one statement or one pipeline.

To send a statement costs more than the row that it finds, so under load many who ask share one.
Nobody waits for others to come: a question is sent at once unless `at_once` are under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True)
class Together(Generic[Q, A]):
    """Gathers questions for `answer`, which gives an answer to each, in their order.

    An answer that is an exception is raised to the one who asked; one that `answer` raises, to
    all of its questions.
    """

    answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]
    at_once: int = 2
    most: int = 200
    _asked: list[tuple[Q, asyncio.Future[A]]] = field(default_factory=list[Any], init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]], init=False)
    _answering: int = field(default=0, init=False)

    async def ask(self, question: Q) -> A:
        """Give the answer to one question; it is sought after this call, never before."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, found))
        # Counted by those who answer, not by their tasks: one that has seen that nothing is asked
        # any more is not done yet, and would leave a question that comes just then to nobody.
        if self._answering < self.at_once:
            self._answering += 1
            # In a context of its own: the asker's may hold an open transaction.
            task = loop.create_task(self._answer_all(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await found

    async def _answer_all(self) -> None:
        try:
            await self._answer_what_is_asked()
        finally:
            self._answering -= 1

    async def _answer_what_is_asked(self) -> None:
        while self._asked:
            taken, self._asked = self._asked[: self.most], self._asked[self.most :]
            answers: Sequence[A | Exception]
            try:
                answers = await self.answer([question for question, _ in taken])
            except Exception as error:  # noqa: BLE001  it is the answer of all who asked
                answers = [error] * len(taken)
            except BaseException:
                for _, found in taken:
                    found.cancel()
                raise
            for (_, found), answer in zip(taken, answers, strict=True):
                if found.done():  # who asked has gone away
                    continue
                if isinstance(answer, Exception):
                    found.set_exception(answer)
                else:
                    found.set_result(answer)
