"""Background loops: restarted when they fail, ended when their process ends."""

import asyncio

from posthouse.kernel.supervise import Loop, supervise


async def test_a_loop_that_fails_is_started_again() -> None:
    runs: list[int] = []
    again = asyncio.Event()

    async def fail() -> None:
        runs.append(1)
        if len(runs) == 2:
            again.set()
        raise OSError

    async with supervise([Loop("fails", fail)]), asyncio.timeout(5):
        await again.wait()
    assert len(runs) == 2


async def test_a_loop_that_overhears_its_end_is_told_again() -> None:
    cancelled: list[int] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(1)
                if len(cancelled) > 1:
                    raise

    async with asyncio.timeout(10):
        async with supervise([Loop("deaf", deaf)]):
            await asyncio.sleep(0.01)
    assert len(cancelled) == 2
