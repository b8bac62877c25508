"""Rows that workers claim: one at a time, fairly, and fenced."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextvars import Context
from typing import Any
from uuid import UUID

import pytest

from posthouse.kernel import ids
from posthouse.kernel.db import Database
from posthouse.kernel.leases import (
    _CLAIM,
    _LOCK,
    Claimer,
    Lease,
    LeaseLostError,
    Leases,
    Tended,
)
from posthouse.runtime import Runtime

LEASES = Leases("work_for_tests", "kind", lease_s=30)
ANY: dict[str, int | None] = {"sort": None}


@pytest.fixture
async def db(runtime: Runtime) -> AsyncGenerator[Database]:
    db = runtime.parts.db
    async with db.begin() as tx:
        await tx.execute("DROP TABLE IF EXISTS work_for_tests")
        await tx.execute(
            "CREATE TABLE work_for_tests (id uuid PRIMARY KEY, workspace_id uuid NOT NULL, "
            "kind text NOT NULL DEFAULT 'sort', priority smallint NOT NULL DEFAULT 0, "
            "state text NOT NULL DEFAULT 'ready', ready_at timestamptz NOT NULL DEFAULT now(), "
            "started_at timestamptz, lease_until timestamptz, token int NOT NULL DEFAULT 0, "
            "attempts int NOT NULL DEFAULT 0, version int NOT NULL DEFAULT 0)"
        )
        await tx.execute(
            "CREATE INDEX ON work_for_tests (kind, workspace_id, priority DESC, ready_at, id) "
            "WHERE state = 'ready'"
        )
    yield db
    async with db.begin() as tx:
        await tx.execute("DROP TABLE work_for_tests")


async def add(
    db: Database, count: int, workspace: UUID, *, kind: str = "sort", priority: int = 0
) -> list[UUID]:
    new = [ids.fresh() for _ in range(count)]
    async with db.begin() as tx:
        await tx.executemany(
            "INSERT INTO work_for_tests (id, workspace_id, kind, priority) VALUES ($1, $2, $3, $4)",
            [(one, workspace, kind, priority) for one in new],
        )
    return new


async def state(db: Database, lease: Lease) -> str:
    async with db.read() as connection:
        return await connection.fetchval("SELECT state FROM work_for_tests WHERE id = $1", lease.id)


async def lose(db: Database) -> None:
    """Let all leases run out, as if their workers had died."""
    async with db.begin() as tx:
        await tx.execute("UPDATE work_for_tests SET lease_until = now() - interval '1 second'")


async def tend(db: Database) -> Tended:
    async with db.begin() as tx:
        return await LEASES.tend(tx)


async def test_a_claim_reads_few_rows_though_statistics_say_that_none_is_ready(
    db: Database,
) -> None:
    await add(db, 3000, ids.fresh())
    async with db.begin() as tx:
        await tx.execute("UPDATE work_for_tests SET state = 'done'")
        await tx.execute("ANALYZE work_for_tests")
    await add(db, 3000, ids.fresh())
    async with db.begin() as tx:
        await tx.execute(LEASES._sql(_LOCK))
        values = (["sort"], [None], UUID(int=0), 50, 30.0, [])
        told = await tx.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + LEASES._sql(_CLAIM), *values)
    # Each of the 3,000 ready rows with each of the 50 would be 150,000.
    assert 50 < _rows_read(json.loads(told)[0]["Plan"]) < 3000


def _rows_read(plan: dict[str, Any]) -> float:
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    own = sum(plan.get(name, 0) for name in names) * plan["Actual Loops"]
    return own + sum(_rows_read(one) for one in plan.get("Plans", []))


async def test_eight_workers_never_hold_one_row_together(db: Database) -> None:
    await add(db, 200, ids.fresh())
    held: list[UUID] = []

    async def work() -> None:
        while leases := await LEASES.claim(db, 7, ANY):
            held.extend(lease.id for lease in leases)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())
    assert len(held) == len(set(held)) == 200


async def test_a_small_workspace_does_not_wait_for_a_large_one(db: Database) -> None:
    large, small = ids.fresh(), ids.fresh()
    await add(db, 5000, large)
    await add(db, 3, small)
    first = await LEASES.claim(db, 10, ANY)
    assert Counter(lease.workspace_id for lease in first)[small] == 3


async def test_every_workspace_has_its_turn_when_there_are_more_than_a_claim_takes(
    db: Database,
) -> None:
    for _ in range(100):
        await add(db, 5, ids.fresh())
    claimer = Claimer(LEASES, ANY)
    served: Counter[UUID] = Counter()
    for _ in range(10):
        served.update(lease.workspace_id for lease in await claimer.claim(db, 12))
    assert len(served) == 100
    assert max(served.values()) - min(served.values()) <= 2


async def test_what_a_workspace_holds_for_urgent_goes_first(db: Database) -> None:
    workspace = ids.fresh()
    await add(db, 5, workspace)
    urgent = await add(db, 2, workspace, priority=9)
    assert [lease.id for lease in await LEASES.claim(db, 2, ANY)] == urgent


async def test_urgent_work_of_one_workspace_does_not_pass_another(db: Database) -> None:
    await add(db, 20, ids.fresh(), priority=9)
    plain = await add(db, 1, ids.fresh())
    assert plain[0] in {lease.id for lease in await LEASES.claim(db, 2, ANY)}


async def test_a_lane_runs_no_more_than_its_limit_over_all_workers(db: Database) -> None:
    await add(db, 20, ids.fresh(), kind="heavy")
    await add(db, 20, ids.fresh(), kind="light")
    lanes = {"heavy": 2, "light": None}
    taken: list[Lease] = []

    async def work() -> None:
        taken.extend(await LEASES.claim(db, 5, lanes))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())
    assert Counter(lease.row["kind"] for lease in taken) == {"heavy": 2, "light": 18}


async def test_a_lane_that_a_worker_does_not_serve_is_left_alone(db: Database) -> None:
    await add(db, 2, ids.fresh(), kind="other")
    assert await LEASES.claim(db, 5, ANY) == []


async def test_who_lost_its_lease_changes_nothing(db: Database) -> None:
    await add(db, 1, ids.fresh())
    (slow,) = await LEASES.claim(db, 1, ANY)
    assert await LEASES.claim(db, 1, ANY) == []
    await lose(db)
    assert await tend(db) == Tended(1, [])
    (fast,) = await LEASES.claim(db, 1, ANY)
    assert (fast.id, fast.token, fast.attempt) == (slow.id, slow.token + 1, 2)
    assert await LEASES.keep(db, [slow, fast]) == {fast.id}
    with pytest.raises(LeaseLostError):
        async with db.begin() as tx:
            await LEASES.end(tx, slow, "completed")
    async with db.begin() as tx:
        await LEASES.end(tx, fast, "completed")
    assert await state(db, fast) == "completed"


async def test_a_lease_whose_end_is_being_written_is_kept_without_waiting(db: Database) -> None:
    await add(db, 2, ids.fresh())
    ending, running = await LEASES.claim(db, 2, ANY)

    async def keep() -> set[UUID]:
        return await LEASES.keep(db, [ending, running])

    async with db.begin() as tx:
        await LEASES.end(tx, ending, "completed")
        async with asyncio.TaskGroup() as group:
            kept = group.create_task(keep(), context=Context())
    assert kept.result() == {ending.id, running.id}


async def test_a_row_that_kills_its_workers_is_given_up(db: Database) -> None:
    await add(db, 1, ids.fresh())
    for attempt in range(1, 6):
        (lease,) = await LEASES.claim(db, 1, ANY)
        assert lease.attempt == attempt
        await lose(db)
        tended = await tend(db)
    assert tended == Tended(0, [lease.id])
    assert await LEASES.claim(db, 1, ANY) == []
    assert await state(db, lease) == "dead"


async def test_a_row_is_tried_again_after_its_delay(db: Database) -> None:
    await add(db, 1, ids.fresh())
    (lease,) = await LEASES.claim(db, 1, ANY)
    async with db.begin() as tx:
        assert await LEASES.retry(tx, lease, delay_s=60)
    await tend(db)
    assert await LEASES.claim(db, 1, ANY) == []
    async with db.begin() as tx:
        await tx.execute("UPDATE work_for_tests SET ready_at = now()")
    await tend(db)
    (again,) = await LEASES.claim(db, 1, ANY)
    assert again.attempt == 2


async def test_the_last_failure_is_the_end(db: Database) -> None:
    await add(db, 1, ids.fresh())
    once = Leases("work_for_tests", "kind", max_attempts=1)
    (lease,) = await once.claim(db, 1, ANY)
    async with db.begin() as tx:
        assert not await once.retry(tx, lease, delay_s=0)
    assert await state(db, lease) == "dead"


async def test_what_a_stopping_worker_gives_back_costs_no_attempt(db: Database) -> None:
    await add(db, 1, ids.fresh())
    held = await LEASES.claim(db, 1, ANY)
    await LEASES.give_back(db, held)
    (lease,) = await LEASES.claim(db, 1, ANY)
    assert (lease.attempt, lease.token) == (1, 2)


async def test_workers_hear_of_ready_rows(db: Database) -> None:
    heard = asyncio.Event()
    async with LEASES.listen(db, heard.set):
        async with db.begin() as tx:
            await LEASES.tell(tx)
        async with asyncio.timeout(5):
            await heard.wait()


@pytest.mark.parametrize(("table", "lane"), [("x; DROP TABLE links", "kind"), ("tasks", "a b")])
def test_tables_and_lanes_have_plain_names(table: str, lane: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        Leases(table, lane)
