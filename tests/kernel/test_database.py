"""Transactions: who commits, what is joined, and what the caller hears when Postgres cannot."""

import asyncio

import asyncpg
import pytest

from posthouse.embedded import Endpoints
from posthouse.kernel.db import Database, DatabaseLimits, open_database
from posthouse.kernel.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    OverloadedError,
)
from posthouse.kernel.signing import WeakSecretError
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings

COUNT = "SELECT count(*) FROM limit_counters WHERE key = $1"
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1::int[])"
ADD = "INSERT INTO limit_counters (key, window_start, used) VALUES ($1, clock_timestamp(), 1)"


async def count(db: Database, key: str) -> int:
    async with db.read() as connection:
        return await connection.fetchval(COUNT, key)


async def test_an_inner_transaction_joins_the_outer_one(runtime: Runtime) -> None:
    db = runtime.parts.db
    with pytest.raises(ZeroDivisionError):
        async with db.begin() as outer:
            async with db.begin() as inner:
                assert inner is outer
                await inner.execute(ADD, "joined")
            async with db.read() as reading:
                assert await reading.fetchval(COUNT, "joined") == 1
            raise ZeroDivisionError
    assert await count(db, "joined") == 0


async def test_what_waits_for_the_commit_runs_after_it_and_not_without_it(
    runtime: Runtime,
) -> None:
    db = runtime.parts.db
    seen: list[int] = []

    async def look() -> None:
        seen.append(await count(db, "after"))

    async with db.begin():
        async with db.begin() as tx:
            await tx.execute(ADD, "after")
            db.after_commit(look)
        assert seen == []
    assert seen == [1]
    with pytest.raises(ZeroDivisionError):
        async with db.begin():
            db.after_commit(look)
            raise ZeroDivisionError
    assert seen == [1]


async def test_two_tasks_have_two_transactions(runtime: Runtime) -> None:
    db = runtime.parts.db

    async def write(key: str) -> object:
        async with db.begin() as tx:
            await tx.execute(ADD, key)
            await asyncio.sleep(0.02)
            return tx

    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(write("t1")), group.create_task(write("t2"))
    assert one.result() is not two.result()


async def test_a_long_statement_and_a_long_wait_end_as_busy(servers: Endpoints) -> None:
    limits = DatabaseLimits(connections=4, statement_s=0.2, lock_s=0.1)
    db = await open_database(servers.database_url, limits)
    try:
        with pytest.raises(DatabaseBusyError):
            async with db.begin() as tx:
                await tx.execute("SELECT pg_sleep(5)")
        async with db.begin() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock(42)")

            async def also_wants_it() -> None:
                async with db.begin() as second:
                    await second.execute("SELECT pg_advisory_xact_lock(42)")

            with pytest.raises(DatabaseBusyError):
                # A task made from outside this transaction, or it would join it.
                await asyncio.get_running_loop().create_task(
                    also_wants_it(), context=__import__("contextvars").Context()
                )
    finally:
        await db.close()


async def test_too_many_callers_are_refused_at_once(servers: Endpoints) -> None:
    limits = DatabaseLimits(connections=3, urgent=1, queue_s=0.2, waiting=1)
    db = await open_database(servers.database_url, limits)
    gate = asyncio.Event()

    async def hold() -> None:
        async with db.begin():
            await gate.wait()

    try:
        holding = [asyncio.ensure_future(hold()) for _ in range(2)]
        await asyncio.sleep(0.05)
        waiting = asyncio.ensure_future(count(db, "x"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await count(db, "x")  # the queue is full
        async with db.read(is_urgent=True) as connection:  # but not for those who follow links
            assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(OverloadedError):
            await waiting  # its time is up
        gate.set()
        await asyncio.wait(holding)
        assert await count(db, "x") == 0
    finally:
        await db.close()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailableError):
        await open_database("postgresql://nobody@/none?host=/nowhere")


async def test_a_failed_start_closes_what_was_open(settings: Settings) -> None:
    bad = settings.model_copy(
        update={"links": settings.links.model_copy(update={"geo_database": "/no/such.mmdb"})}
    )
    with pytest.raises(FileNotFoundError):
        async with open_runtime(bad):
            pass
    async with open_runtime(settings) as again:
        assert await count(again.parts.db, "x") == 0


@pytest.mark.parametrize(
    "secret", ["", "short", "a" * 64, "my-super-secret-jwt-key-do-not-share-this"[:31]]
)
async def test_a_secret_that_can_be_guessed_does_not_start(settings: Settings, secret: str) -> None:
    with pytest.raises(WeakSecretError, match="openssl rand"):
        async with open_runtime(settings.model_copy(update={"secret": secret})):
            pass


async def test_a_connection_that_dies_at_any_moment_is_one_error(servers: Endpoints) -> None:
    """asyncpg has several names for it, one of them for a death between two statements."""
    db = await open_database(servers.database_url)
    failures: list[Exception] = []
    pids: set[int] = set()
    until = asyncio.get_running_loop().time() + 1

    async def ask() -> None:
        while asyncio.get_running_loop().time() < until:
            try:
                async with db.begin() as tx:
                    pids.add(await tx.fetchval("SELECT pg_backend_pid()"))
            except Exception as error:  # noqa: BLE001  that is the question
                failures.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(ask())
        other = await asyncpg.connect(servers.database_url, timeout=5)
        while asyncio.get_running_loop().time() < until:
            await other.execute(KILL, pids)
            await asyncio.sleep(0.02)
        await other.close(timeout=5)
    await db.close()
    assert failures
    assert {type(error) for error in failures} == {DatabaseUnavailableError}


async def test_a_lock_of_a_session_ends_with_its_loan(runtime: Runtime) -> None:
    db = runtime.parts.db
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77001"

    async def is_held() -> bool:
        async with db.read() as connection:
            return bool(await connection.fetchval(locks))

    with pytest.raises(ZeroDivisionError):
        async with db.session() as connection:
            await connection.execute("SELECT pg_advisory_lock(77001)")
            assert await is_held()
            raise ZeroDivisionError
    assert not await is_held()
