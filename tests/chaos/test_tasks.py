"""Accepted tasks end, once each, whatever is killed (promises P1 and P12)."""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from posthouse.embedded import postgres
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, House, open_house
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WORKERS = ("worker0", "worker1")
LEASE_S = 5
CLIENTS = 4


@pytest.fixture
async def tasks_house() -> AsyncGenerator[House]:
    folder = Path(tempfile.mkdtemp(prefix="ph-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    async with open_house(
        folder / "data",
        program="tests.chaos.probed",
        workers=WORKERS,
        POSTHOUSE_TASKS_LEASE_S=str(LEASE_S),
    ) as house:
        await house.rows("CREATE SCHEMA probe")
        await house.rows(
            "CREATE TABLE probe.said "
            "(task_id uuid NOT NULL, workspace_id uuid NOT NULL, words text)"
        )
        yield house
        print(house.tail())  # noqa: T201  shown with a failure
    shutil.rmtree(folder)


async def test_no_accepted_task_is_lost_and_none_has_two_effects(
    tasks_house: House, chaos: Chaos
) -> None:
    house = tasks_house
    count = int(chaos.pick(800, 10_000))
    worker_kills, postgres_kills = int(chaos.pick(4, 20)), int(chaos.pick(1, 3))
    load = Load(house, Ledger(house), chaos.seed)
    accepted: list[str] = []
    submitting = asyncio.Event()

    async def submit(client: int) -> None:
        for number in range(client, count, CLIENTS):
            kind, given = (
                ("probe.say", {"words": str(number)})
                if number % 4
                else ("probe.count", {"to": 5, "pause_s": 0.02})
            )
            answer = await load.insist(
                "POST",
                "/api/v1/tasks",
                {"kind": kind, "input": given},
                [HTTP[client % len(HTTP)]],
                Idempotency_Key=f"task-{number}",
            )
            assert answer.status == 202, answer.body
            accepted.append(answer.json["task_id"])
            if len(accepted) > count // 50:
                submitting.set()

    async def kill() -> None:
        dice = random.Random(chaos.seed)
        kills = [*WORKERS * (worker_kills // len(WORKERS)), *["postgres"] * postgres_kills]
        dice.shuffle(kills)
        await submitting.wait()
        for part in kills:
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            if part == "postgres":
                await house.crash_server(postgres.NAME)
            else:
                await house.restart(part)

    async with asyncio.timeout(600), asyncio.TaskGroup() as group:
        group.create_task(kill())
        for client in range(CLIENTS):
            group.create_task(submit(client))
    assert len(set(accepted)) == count, chaos.seed
    await _until_ended(house)
    states = {
        row["state"]: row["count"]
        for row in await house.rows("SELECT state, count(*) FROM tasks GROUP BY state")
    }
    assert states == {"completed": count}, (states, chaos.seed)
    (effects,) = await house.rows(
        "SELECT count(*) AS made, count(DISTINCT task_id) AS distinct FROM probe.said"
    )
    wanted = sum(1 for number in range(count) if number % 4)
    assert (effects["made"], effects["distinct"]) == (wanted, wanted), chaos.seed
    (attempts,) = await house.rows("SELECT max(attempts) AS most, sum(attempts) AS all FROM tasks")
    print(f"{count} tasks, {attempts['all']} attempts, at most {attempts['most']}")  # noqa: T201


async def _until_ended(house: House) -> None:
    """Wait until nothing waits or runs: a lease after the last kill, and the time of the work."""
    async with asyncio.timeout(120 + LEASE_S):
        while await house.rows(
            "SELECT FROM tasks WHERE state IN ('waiting', 'ready', 'running') LIMIT 1"
        ):
            await asyncio.sleep(0.2)
