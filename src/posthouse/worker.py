"""Composes the worker process: the relay, the jobs, the clock, and each slice's loops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg

from posthouse.kernel import idempotency
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.jobs import CronKind, JobRunner
from posthouse.kernel.supervise import Loop, supervise
from posthouse.runtime import Runtime

log = logging.getLogger("posthouse.worker")

_RELAY_PAUSE_S = 0.2
_DRAIN_S = 20.0


async def work(runtime: Runtime, stop: asyncio.Event) -> None:
    """Work until `stop` is set; then claim no more and let what runs end within 20 seconds."""
    runner_box: list[JobRunner] = []

    async def run_jobs() -> None:
        connection = await asyncpg.connect(
            runtime.settings.database_url,
            timeout=5,
            server_settings={"application_name": "posthouse jobs", "timezone": "UTC"},
        )
        try:
            runner = JobRunner(connection, runtime.job_kinds, [*runtime.crons, *_own(runtime)])
            runner_box[:] = [runner]
            if not stop.is_set():
                await runner.run()
        finally:
            await connection.close(timeout=2)

    async def relay() -> None:
        while True:
            if await runtime.relay.relay_once() == 0:
                await asyncio.sleep(_RELAY_PAUSE_S)

    async def jobs_until_stopped() -> None:
        await run_jobs()
        await stop.wait()

    async def drain_jobs() -> None:
        for runner in runner_box:
            runner.stop()
            await runner.ended(_DRAIN_S)

    loops = [Loop("relay", relay), *runtime.worker_loops]
    async with supervise([*loops, Loop("jobs", jobs_until_stopped)]):
        await stop.wait()
        async with asyncio.TaskGroup() as group:
            for drain in (*runtime.drains, drain_jobs):
                group.create_task(keep_calm(drain))


async def keep_calm(drain: Callable[[], Awaitable[None]]) -> None:
    """Drain; a failure, as when Postgres stopped first, ends no other drain."""
    try:
        await drain()
    except PosthouseError as error:
        log.warning("not drained", extra={"reason": error.code})


def _own(runtime: Runtime) -> list[CronKind]:
    async def purge() -> None:
        await idempotency.purge(runtime.parts.db)

    return [CronKind("kernel.idempotency", "*/10 * * * *", purge)]
