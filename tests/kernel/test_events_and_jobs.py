"""Events reach those who listen, and jobs run until they succeed, also over crashes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import pytest

from posthouse.embedded import Endpoints
from posthouse.kernel import ids, trace
from posthouse.kernel.db import Database, open_database
from posthouse.kernel.errors import InvalidInputError, UnavailableError
from posthouse.kernel.events import Event, Listener, Relay, announce
from posthouse.kernel.jobs import JobKind, JobRunner, PgJobQueue, backoff_s
from tests.databases import own_database


@dataclass(frozen=True, slots=True)
class Happened(Event):
    name: ClassVar[str] = "test.happened"

    what: str


@dataclass
class Heard:
    """A listener that remembers, and can be told to fail."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0
    error: Exception = field(default_factory=lambda: OSError("not now"))
    traces: list[str | None] = field(default_factory=list)

    async def __call__(self, payload: dict[str, Any]) -> None:
        self.calls.append(payload)
        self.traces.append(trace.trace_id())
        if len(self.calls) <= self.failures:
            raise self.error


@pytest.fixture(scope="module")
async def url(servers: Endpoints) -> AsyncGenerator[str]:
    async with own_database(servers.database_url) as url:
        yield url


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    db = await open_database(url)
    async with db.begin() as tx:
        await tx.execute("TRUNCATE outbox, pgqueuer")
    yield db
    await db.close()


async def run_until(url: str, kinds: list[JobKind], is_done: Any, within_s: float = 10) -> None:
    connection = await asyncpg.connect(url)
    runner = JobRunner(connection, kinds)
    running = asyncio.ensure_future(runner.run())
    try:
        async with asyncio.timeout(within_s):
            while not await is_done():
                await asyncio.sleep(0.02)
    finally:
        runner.stop()
        await running
        await connection.close()


def nobody() -> UUID:
    return ids.fresh()


async def test_an_event_reaches_each_listener_once(db: Database, url: str) -> None:
    one, two = Heard(), Heard()
    listeners = [
        Listener(Happened.name, "one", one),
        Listener(Happened.name, "two", two),
        Listener("test.other", "three", Heard()),
    ]
    async with db.begin() as tx:
        await announce(tx, Happened(nobody(), "x"))
    relay = Relay(db, PgJobQueue(), listeners)
    async with asyncio.TaskGroup() as group:
        relayed = [group.create_task(relay.relay_once()) for _ in range(4)]
    assert sum(task.result() for task in relayed) == 1

    async def both() -> bool:
        return bool(one.calls and two.calls)

    await run_until(url, [listener.job_kind() for listener in listeners], both)
    assert [call["what"] for call in one.calls + two.calls] == ["x", "x"]


async def test_what_is_rolled_back_did_not_happen(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.begin() as tx:
            await announce(tx, Happened(nobody(), "x"))
            await PgJobQueue().enqueue(tx, "kind", [{"a": 1}])
            raise ZeroDivisionError
    async with db.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_a_job_is_tried_again_until_it_succeeds(db: Database, url: str) -> None:
    handler = Heard(failures=2)
    async with db.begin() as tx:
        await PgJobQueue().enqueue(tx, "flaky", [{"n": 1}])

    async def done() -> bool:
        return len(handler.calls) == 3

    await run_until(url, [JobKind("flaky", handler)], done, within_s=20)


async def test_a_job_that_cannot_succeed_is_held_and_can_be_replayed(
    db: Database, url: str
) -> None:
    handler = Heard(failures=1, error=InvalidInputError("never"))
    queue = PgJobQueue()
    async with db.begin() as tx:
        await queue.enqueue(tx, "hopeless", [{"n": 1}])

    async def is_dead() -> bool:
        async with db.read() as connection:
            return bool(await queue.dead(connection))

    await run_until(url, [JobKind("hopeless", handler)], is_dead)
    assert len(handler.calls) == 1
    async with db.begin() as tx:
        (dead,) = await queue.dead(tx)
        assert (dead.kind, dead.payload) == ("hopeless", {"n": 1})
        await queue.replay(tx, [dead.id])

    async def again() -> bool:
        return len(handler.calls) == 2

    await run_until(url, [JobKind("hopeless", handler)], again)


async def enqueue_tired(db: Database, kind: str, age: str) -> None:
    """A job that has used all its attempts, the first of them `age` ago."""
    async with db.begin() as tx:
        await PgJobQueue().enqueue(tx, kind, [{}])
        sql = "UPDATE pgqueuer SET attempts = 12, created = now() - $1::text::interval"
        await tx.execute(sql, age)


async def test_an_outage_uses_up_no_job(db: Database, url: str) -> None:
    handler = Heard(failures=1, error=UnavailableError())
    await enqueue_tired(db, "patient", age="23 hours")

    async def is_waiting() -> bool:
        async with db.read() as connection:
            sql = "SELECT status FROM pgqueuer WHERE attempts = 13"
            return await connection.fetchval(sql) == "queued"

    await run_until(url, [JobKind("patient", handler)], is_waiting)
    async with db.begin() as tx:
        await tx.execute("UPDATE pgqueuer SET execute_after = now()")

    async def is_done() -> bool:
        async with db.read() as connection:
            return await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0

    await run_until(url, [JobKind("patient", handler)], is_done)
    assert len(handler.calls) == 2


@pytest.mark.parametrize(
    ("error", "age"), [(UnavailableError(), "25 hours"), (OSError("ours"), "1 second")]
)
async def test_a_job_does_not_wait_for_ever(
    db: Database, url: str, error: Exception, age: str
) -> None:
    handler = Heard(failures=99, error=error)
    await enqueue_tired(db, "tired", age)

    async def is_dead() -> bool:
        async with db.read() as connection:
            return bool(await PgJobQueue().dead(connection))

    await run_until(url, [JobKind("tired", handler)], is_dead)
    assert len(handler.calls) == 1


async def test_a_dedupe_key_that_waits_already_adds_nothing(db: Database) -> None:
    for _ in range(2):
        async with db.begin() as tx:
            await PgJobQueue().enqueue(
                tx, "kind", [{"n": 1}, {"n": 2}], dedupe_keys=["same-1", "same-2"]
            )
    async with db.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 2


async def test_a_job_goes_on_with_the_trace_of_its_request(db: Database, url: str) -> None:
    handler = Heard()
    trace.accept("00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    async with db.begin() as tx:
        await PgJobQueue().enqueue(tx, "traced", [{}])

    async def done() -> bool:
        return bool(handler.calls)

    await run_until(url, [JobKind("traced", handler)], done)
    assert handler.traces == ["a" * 32]


def test_waiting_is_jittered_in_full_and_capped() -> None:
    assert backoff_s(0, draw=lambda bound: bound - 1) == 1.0
    assert backoff_s(3, draw=lambda bound: bound - 1) == 8.0
    assert backoff_s(50, draw=lambda bound: bound - 1) == 300.0
    assert backoff_s(5, last_s=15, draw=lambda bound: bound - 1) == 15.0
    assert backoff_s(5, draw=lambda _: 0) == 0.0
