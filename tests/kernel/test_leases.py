"""Rows that workers claim: one at a time, fairly, and fenced."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from posthouse.kernel import ids
from posthouse.kernel.db import Database
from posthouse.kernel.leases import Lease, LeaseLostError, Leases
from posthouse.runtime import Runtime

LEASES = Leases("work_for_tests", lease_s=30)


@pytest.fixture
async def db(runtime: Runtime) -> AsyncGenerator[Database]:
    db = runtime.parts.db
    async with db.begin() as tx:
        await tx.execute("DROP TABLE IF EXISTS work_for_tests")
        await tx.execute(
            "CREATE TABLE work_for_tests (id uuid PRIMARY KEY, workspace_id uuid NOT NULL, "
            "state text NOT NULL DEFAULT 'ready', ready_at timestamptz NOT NULL DEFAULT now(), "
            "lease_until timestamptz, token int NOT NULL DEFAULT 0, "
            "attempts int NOT NULL DEFAULT 0)"
        )
    yield db
    async with db.begin() as tx:
        await tx.execute("DROP TABLE work_for_tests")


async def add(db: Database, count: int, workspace: UUID) -> None:
    async with db.begin() as tx:
        await tx.executemany(
            "INSERT INTO work_for_tests (id, workspace_id) VALUES ($1, $2)",
            [(ids.fresh(), workspace) for _ in range(count)],
        )


async def state(db: Database, lease: Lease) -> str:
    async with db.read() as connection:
        return await connection.fetchval("SELECT state FROM work_for_tests WHERE id = $1", lease.id)


async def lose(db: Database) -> None:
    """Let all leases run out, as if their workers had died."""
    async with db.begin() as tx:
        await tx.execute("UPDATE work_for_tests SET lease_until = now() - interval '1 second'")


async def test_eight_workers_never_hold_one_row_together(db: Database) -> None:
    await add(db, 200, ids.fresh())
    held: list[UUID] = []

    async def work() -> None:
        while leases := await LEASES.claim(db, 7):
            held.extend(lease.id for lease in leases)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())
    assert len(held) == len(set(held)) == 200


async def test_a_small_workspace_does_not_wait_for_a_large_one(db: Database) -> None:
    large, small = ids.fresh(), ids.fresh()
    await add(db, 500, large)
    await add(db, 3, small)
    first = await LEASES.claim(db, 10)
    assert Counter(lease.workspace_id for lease in first)[small] == 3


async def test_who_lost_its_lease_changes_nothing(db: Database) -> None:
    await add(db, 1, ids.fresh())
    (slow,) = await LEASES.claim(db, 1)
    assert await LEASES.claim(db, 1) == []
    await lose(db)
    (fast,) = await LEASES.claim(db, 1)
    assert (fast.id, fast.token, fast.attempt) == (slow.id, slow.token + 1, 2)
    with pytest.raises(LeaseLostError):
        await LEASES.keep(db, slow)
    with pytest.raises(LeaseLostError):
        async with db.begin() as tx:
            await LEASES.end(tx, slow, "completed")
    async with db.begin() as tx:
        await LEASES.end(tx, fast, "completed")
    assert await state(db, fast) == "completed"


async def test_a_row_that_kills_its_workers_is_given_up(db: Database) -> None:
    await add(db, 1, ids.fresh())
    for attempt in range(1, 6):
        (lease,) = await LEASES.claim(db, 1)
        assert lease.attempt == attempt
        await lose(db)
    assert await LEASES.claim(db, 1) == []
    assert await LEASES.reap(db) == 1
    assert await state(db, lease) == "dead"


async def test_a_row_is_tried_again_after_its_delay(db: Database) -> None:
    await add(db, 1, ids.fresh())
    (lease,) = await LEASES.claim(db, 1)
    async with db.begin() as tx:
        await LEASES.retry(tx, lease, delay_s=60)
    assert await LEASES.claim(db, 1) == []
    async with db.begin() as tx:
        await tx.execute("UPDATE work_for_tests SET ready_at = now()")
    (again,) = await LEASES.claim(db, 1)
    assert again.attempt == 2


async def test_the_last_failure_is_the_end(db: Database) -> None:
    await add(db, 1, ids.fresh())
    once = Leases("work_for_tests", max_attempts=1)
    (lease,) = await once.claim(db, 1)
    async with db.begin() as tx:
        await once.retry(tx, lease, delay_s=0)
    assert await state(db, lease) == "dead"


def test_a_table_has_a_plain_name() -> None:
    with pytest.raises(ValueError, match="not the name"):
        Leases("x; DROP TABLE links")
