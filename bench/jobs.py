"""No-op jobs by `kernel.jobs`, against PgQueuer by itself."""

import asyncio
import time
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from bench.house import House, open_house
from bench.measure import Row, compare, say
from posthouse.kernel.db import open_database
from posthouse.kernel.jobs import JobKind, JobRunner, Payload, PgJobQueue

JOBS = 5_000
CONCURRENCY = 50
ROUNDS = 5
_DEADLINE_S = 120


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    ours: list[float] = []
    bare: list[float] = []
    async with open_house() as house:
        for number in range(ROUNDS + 1):
            of_bare, own = await _bare(house), await _ours(house)
            if number:  # the first round warms up
                bare.append(of_bare)
                ours.append(own)
                say(f"jobs {number} of {ROUNDS}: bare {of_bare:,.0f}/s, ours {own:,.0f}/s")
    return [
        compare(
            "no-op jobs, of PgQueuer bare", ours, bare, unit="jobs/s", at_least=0.8, is_cost=False
        )
    ]


async def _fill(house: House, kind: str) -> None:
    db = await open_database(house.database_url)
    try:
        async with db.begin() as tx:
            await tx.execute("TRUNCATE pgqueuer, pgqueuer_log")
            await PgJobQueue().enqueue(tx, kind, [{"n": number} for number in range(JOBS)])
    finally:
        await db.close()


async def _ours(house: House) -> float:
    await _fill(house, "ours")
    left, done = JOBS, asyncio.Event()

    async def handler(payload: Payload) -> None:
        nonlocal left
        del payload
        left -= 1
        if left == 0:
            done.set()

    connection = await asyncpg.connect(house.database_url)
    runner = JobRunner(connection, [JobKind("ours", handler)], concurrency=CONCURRENCY)
    try:
        return await _rate(runner.run(), done, runner.stop)
    finally:
        await connection.close()


async def _bare(house: House) -> float:
    await _fill(house, "bare")
    left, done = JOBS, asyncio.Event()
    connection = await asyncpg.connect(house.database_url)
    engine = PgQueuer.from_asyncpg_connection(connection)

    @engine.entrypoint("bare")
    async def handler(job: Job) -> None:
        nonlocal left
        del job
        left -= 1
        if left == 0:
            done.set()

    running = engine.run(
        dequeue_timeout=timedelta(seconds=1),
        batch_size=CONCURRENCY // 2,
        max_concurrent_tasks=CONCURRENCY,
    )
    try:
        return await _rate(running, done, engine.shutdown.set)
    finally:
        await connection.close()


async def _rate(running: object, done: asyncio.Event, stop: object) -> float:
    """Jobs a second from the start of the runner to the last job's end."""
    async with asyncio.timeout(_DEADLINE_S), asyncio.TaskGroup() as group:
        began = time.perf_counter()
        group.create_task(running)  # type: ignore[arg-type]
        await done.wait()
        took_s = time.perf_counter() - began
        stop()  # type: ignore[operator]
    return JOBS / took_s
