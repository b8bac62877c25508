"""Questions that are asked at the same time share one go, and each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.kernel.together import Together
from posthouse.runtime import Runtime


class Oracle:
    """Doubles numbers, a batch at a time, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.error: Exception | None = None

    async def answer(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.may_go.wait()
        if self.error is not None:
            raise self.error
        return [ValueError("unlucky") if number == 13 else number * 2 for number in numbers]


async def test_what_comes_while_others_are_under_way_goes_in_one_batch() -> None:
    oracle = Oracle()
    together = Together(oracle.answer, at_once=1, most=3)
    first = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(together.ask(number)) for number in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    oracle.may_go.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6, 8, 10]
    assert oracle.batches == [[1], [2, 3, 4], [5]]


async def test_one_may_fail_or_go_away_without_the_others() -> None:
    oracle = Oracle()
    together = Together(oracle.answer)
    asked = [asyncio.create_task(together.ask(number)) for number in (1, 13, 2)]
    await asyncio.sleep(0)
    asked[0].cancel()
    oracle.may_go.set()
    gone, unlucky, well = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(unlucky, ValueError)
    assert well == 4


async def test_a_failure_of_all_is_told_to_all_and_the_next_are_answered() -> None:
    oracle = Oracle()
    oracle.error = OSError("away")
    oracle.may_go.set()
    together = Together(oracle.answer)
    results = await asyncio.gather(together.ask(1), together.ask(2), return_exceptions=True)
    assert all(isinstance(one, OSError) for one in results)
    oracle.error = None
    with pytest.raises(ValueError, match="unlucky"):
        await together.ask(13)
    assert await together.ask(3) == 6


async def test_the_answer_is_sought_outside_of_the_askers_transaction(runtime: Runtime) -> None:
    db = runtime.parts.db

    async def answer(questions: Sequence[int]) -> Sequence[bool]:
        return [db.is_open for _ in questions]

    async with db.begin():
        assert db.is_open
        assert await Together(answer).ask(1) is False


async def test_a_question_that_comes_as_the_last_answer_goes_is_answered() -> None:
    """Whoever is woken by an answer asks the next thing before the answering task is done."""

    async def answer(questions: Sequence[int]) -> Sequence[int]:
        return list(questions)

    together: Together[int, int] = Together(answer, at_once=1)

    async def ask_on() -> None:
        for number in range(200):
            assert await together.ask(number) == number

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask_on())
