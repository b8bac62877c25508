"""Background loops of a process: the only place that starts tasks that outlive a call."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

log = logging.getLogger("posthouse.loops")

_FIRST_PAUSE_S = 0.2
_LAST_PAUSE_S = 5.0
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Loop:
    """Work that runs for as long as the process does; `run` must end soon when cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]


async def keep_running(loop: Loop) -> None:
    """Run a loop and start it again when it fails, with a growing pause."""
    pause_s = _FIRST_PAUSE_S
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            await loop.run()
        except Exception as error:  # noqa: BLE001  a loop must not end its process
            log.warning("loop failed", extra={"loop": loop.name, "reason": type(error).__name__})
        pause_s = _FIRST_PAUSE_S if clock() - started > _LAST_PAUSE_S else pause_s
        await asyncio.sleep(pause_s)
        pause_s = min(_LAST_PAUSE_S, pause_s * 2)


@asynccontextmanager
async def supervise(loops: Sequence[Loop]) -> AsyncGenerator[None]:
    """Keep loops running while the block runs; cancel them at its end and wait for them."""
    tasks = [asyncio.create_task(keep_running(loop), name=loop.name) for loop in loops]
    try:
        yield
    finally:
        await _end(set(tasks))


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough. Python 3.11's wait_for, which redis-py awaits for each command, loses a
    cancellation that comes when its work is just done (cpython gh-86296): the task would go on,
    and a process that waits for it would never end.
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_AGAIN_S)
