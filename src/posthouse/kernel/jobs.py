"""Jobs: a row in the transaction that needs it, run by a worker until it succeeds.

PgQueuer does the work (SKIP LOCKED, LISTEN/NOTIFY, heartbeats, cron). The job is a waker, not
the truth: it carries ids, its handler may run twice, and far-future work waits in the domain's
own rows until a promoter enqueues it. A handler that fails is tried again with capped, fully
jittered backoff; after `MAX_ATTEMPTS` the job is held as a dead letter until it is replayed. An
outage of our own parts is not the job's fault: it is waited out, for up to a day.
"""

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, cast

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.types import JobId
from pgqueuer.errors import RetryRequested
from pgqueuer.executors import (
    EntrypointExecutor,
    EntrypointExecutorParameters,
)
from pgqueuer.models import Context, Job, Schedule
from pgqueuer.queries import Queries

from posthouse.kernel import trace
from posthouse.kernel.db import Tx
from posthouse.kernel.errors import Kind, PosthouseError

log = logging.getLogger("posthouse.jobs")

MAX_ATTEMPTS = 5
OUTAGE = timedelta(days=1)
_FIRST_DELAY_S = 1.0
_LAST_DELAY_S = 300.0
_LAST_OUTAGE_DELAY_S = 15.0

Payload = dict[str, Any]
Handler = Callable[[Payload], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job: its name, what runs it, and how many may run at once over all workers."""

    name: str
    handler: Handler
    concurrency: int = 0


@dataclass(frozen=True, slots=True)
class CronKind:
    """Work that runs by the clock, once over all workers; `expression` is cron in UTC."""

    name: str
    expression: str
    run: Callable[[], Awaitable[None]]


class JobQueue(Protocol):
    """What a service needs of the queue."""

    async def enqueue(
        self,
        tx: Tx,
        kind: str,
        payloads: Sequence[Payload],
        *,
        dedupe_keys: Sequence[str] | None = None,
    ) -> None:
        """Add jobs in the caller's transaction: they exist if and only if it commits."""
        ...


def backoff_s(
    attempt: int,
    *,
    last_s: float = _LAST_DELAY_S,
    draw: Callable[[int], int] = secrets.randbelow,
) -> float:
    """Seconds to wait before attempt `attempt + 1`: full jitter under a doubling cap.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    cap_s = min(last_s, _FIRST_DELAY_S * 2 ** min(attempt, 16))
    return draw(int(cap_s * 1000) + 1) / 1000


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that failed for good and waits to be replayed."""

    id: int
    kind: str
    attempts: int
    payload: Payload


class PgJobQueue:
    """The queue in Postgres."""

    async def enqueue(
        self,
        tx: Tx,
        kind: str,
        payloads: Sequence[Payload],
        *,
        dedupe_keys: Sequence[str] | None = None,
    ) -> None:
        """Add jobs in the caller's transaction.

        A job whose dedupe key is queued or running already is left out, so this may be repeated.
        """
        count = len(payloads)
        if count == 0:
            return
        traceparent = trace.current()
        headers = {"traceparent": traceparent} if traceparent else None
        await _queries(tx).enqueue(
            [kind] * count,
            [json.dumps(payload).encode() for payload in payloads],
            [0] * count,
            dedupe_key=list(dedupe_keys) if dedupe_keys else None,
            headers=[headers] * count,
            on_conflict="skip",
        )

    async def dead(self, tx: Tx, limit: int = 100) -> list[DeadJob]:
        """List jobs that failed for good, newest first."""
        jobs = await _queries(tx).list_failed_jobs(limit)
        return [
            DeadJob(job.id, job.entrypoint, job.attempts, json.loads(job.payload or b"{}"))
            for job in jobs
        ]

    async def replay(self, tx: Tx, ids: Sequence[int]) -> None:
        """Queue dead jobs again."""
        await _queries(tx).requeue_jobs([JobId(job_id) for job_id in ids])


def _queries(tx: Tx) -> Queries:
    return Queries(AsyncpgDriver(cast("asyncpg.Connection", tx)))


@dataclass
class _JitteredRetry(EntrypointExecutor):
    """Turns a failure into a retry with full jitter, until the attempts are used up."""

    async def execute(self, job: Job, context: Context) -> None:
        trace.accept(str((job.headers or {}).get("traceparent", "")))
        try:
            await super().execute(job, context)
        except Exception as error:
            delay_s = _delay_s(job, error)
            if delay_s is None:
                raise
            reason = type(error).__name__
            raise RetryRequested(delay=timedelta(seconds=delay_s), reason=reason) from error


def _delay_s(job: Job, error: Exception) -> float | None:
    """How long to wait before a failed job is tried again; None if it has failed for good."""
    if isinstance(error, PosthouseError):
        if not error.is_retryable:
            return None
        if error.kind is Kind.UNAVAILABLE and job.updated - job.created < OUTAGE:
            return backoff_s(job.attempts, last_s=_LAST_OUTAGE_DELAY_S)
    return None if job.attempts + 1 >= MAX_ATTEMPTS else backoff_s(job.attempts)


@dataclass(slots=True)
class JobRunner:
    """Runs all kinds of jobs of one worker process on a connection of its own."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    kinds: Sequence[JobKind]
    crons: Sequence[CronKind] = ()
    concurrency: int = 50
    _engine: PgQueuer = field(init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._engine = PgQueuer.from_asyncpg_connection(self.connection)
        for kind in self.kinds:
            self._register(kind)
        for cron in self.crons:
            self._schedule(cron)

    def _register(self, kind: JobKind) -> None:
        async def run(job: Job) -> None:
            await kind.handler(json.loads(job.payload or b"{}"))

        def executor(parameters: EntrypointExecutorParameters) -> _JitteredRetry:
            return _JitteredRetry(parameters)

        self._engine.entrypoint(
            kind.name,
            concurrency_limit=kind.concurrency,
            on_failure="hold",
            executor_factory=executor,
        )(run)

    def _schedule(self, cron: CronKind) -> None:
        async def run(schedule: Schedule) -> None:
            del schedule
            await cron.run()

        self._engine.schedule(cron.name, cron.expression, clean_old=True)(run)

    async def run(self) -> None:
        """Run jobs until `stop` is called; ends with an error when Postgres goes away."""
        try:
            await self._engine.run(
                dequeue_timeout=timedelta(seconds=1),
                batch_size=max(1, self.concurrency // 2),
                max_concurrent_tasks=self.concurrency,
                shutdown_on_listener_failure=True,
            )
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Claim no more; jobs that run are finished."""
        self._engine.shutdown.set()

    async def ended(self, within_s: float) -> None:
        """Wait until running jobs have ended, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._ended.wait()
