"""Starting a child of the sandbox, against other ways to run a function in a process."""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from bench.measure import Row, compare, say
from posthouse.kernel.sandbox import Sandbox
from posthouse.kernel.zygote import Channel

RUNS = 100
ROUNDS = 3


def answer(channel: Channel) -> int:
    """What the sandbox runs."""
    channel.receive()
    return 42


def plain() -> int:
    """What the others run."""
    return 42


def crash() -> None:
    """End the process without a word."""
    import os  # noqa: PLC0415

    os._exit(1)


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    ours: list[float] = []
    fresh: list[float] = []
    sandbox = Sandbox(("bench.sandbox",))
    try:
        await sandbox.run("bench.sandbox:answer")
        for number in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(RUNS):
                await sandbox.run("bench.sandbox:answer")
            ours.append((time.perf_counter() - begun) * 1000 / RUNS)
            fresh.append(await asyncio.to_thread(_forkserver))
            say(f"sandbox {number + 1}: ours {ours[-1]:.1f} ms, forkserver {fresh[-1]:.1f} ms")
    finally:
        sandbox.close()
    broken = await asyncio.to_thread(_fails_after_a_crash)
    return [
        compare("a child of the sandbox, of a forkserver's", ours, fresh, unit="ms"),
        Row(
            name="calls that fail after one crash, process pool",
            value=broken,
            limit=10,
            ratio=broken / 10,
            unit="of 10 calls",
            runs=1,
        ),
    ]


def _forkserver() -> float:
    """A process for each call, as multiprocessing starts it from a preloaded server, in ms."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.sandbox"])
    begun = time.perf_counter()
    for _ in range(RUNS // 10):
        process = context.Process(target=plain)
        process.start()
        process.join()
    return (time.perf_counter() - begun) * 1000 / (RUNS // 10)


def _fails_after_a_crash() -> int:
    failed = 0
    with ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")) as pool:
        for call in (crash, *[plain] * 10):
            try:
                pool.submit(call).result(timeout=30)
            except BrokenProcessPool:
                failed += call is plain
    return failed
