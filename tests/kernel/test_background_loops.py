"""Loops that run for as long as the process does, and end when it does."""

import asyncio

from posthouse.kernel.supervise import Loop, supervise


async def test_a_loop_that_fails_is_started_again() -> None:
    starts = 0
    again = asyncio.Event()

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            again.set()
        raise ValueError

    async with supervise([Loop("failing", run)]), asyncio.timeout(5):
        await again.wait()


async def test_a_loop_in_which_a_cancellation_was_lost_ends_all_the_same() -> None:
    """As in Python 3.11's wait_for, under every command of redis-py: it would hang a stop."""
    lost = 0

    async def run() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost > 1:
                    raise

    async with asyncio.timeout(10):
        async with supervise([Loop("deaf", run)]):
            await asyncio.sleep(0)
    assert lost == 2
