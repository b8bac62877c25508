"""Everything is killed under load, by a plan made from a seed: nothing is lost or wrong."""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
import signal
from time import monotonic

import pytest

from posthouse.embedded import postgres, valkey
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, WORKERS, House
from tests.chaos.ledger import Link
from tests.chaos.load import Load

# What the machine's own stalls may add to a bound: other tests run beside these.
NOISE_S = 1.0

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STEPS = ("worker", "http", "stop http", "valkey", "postgres", "hang valkey")


async def take_step(house: House, step: str, dice: random.Random) -> None:
    """Do one thing to the house; it is well again when this returns."""
    match step:
        case "worker":
            await house.restart(WORKERS[0])
        case "http":
            await house.restart(dice.choice(HTTP))
        case "stop http":
            await house.restart(dice.choice(HTTP), signal.SIGTERM)
        case "valkey":
            await house.crash_server(valkey.NAME)
        case "postgres":
            await house.crash_server(postgres.NAME)
        case _:
            await house.pause_server(valkey.NAME, 0.2 + 2 * dice.random())


async def links(load: Load, name: str, count: int) -> list[Link]:
    return [await load.make_link(f"{name}-{load.seed}-{number}") for number in range(count)]


def plan(seed: int, rounds: int) -> list[str]:
    """Each step once a round, in an order that the seed decides."""
    dice = random.Random(seed)
    return [step for _ in range(rounds) for step in dice.sample(STEPS, len(STEPS))]


async def carry_out(house: House, steps: list[str], seed: int, pause_s: float) -> None:
    dice = random.Random(seed)
    for step in steps:
        await asyncio.sleep(pause_s * (0.5 + dice.random()))
        await take_step(house, step, dice)


async def test_nothing_is_lost_or_wrong_while_everything_is_killed(
    house: House, load: Load, chaos: Chaos
) -> None:
    steps = plan(chaos.seed, rounds=int(chaos.pick(1, 12)))
    still, edited, off = (
        await links(load, "still", 10), await links(load, "edited", 10), await links(load, "off", 3)
    )  # fmt: skip
    codes = [link.code for link in (*still, *edited, *off)]
    async with asyncio.TaskGroup() as clients:
        for number in range(6):
            follower = load.follow(HTTP[number % 2], codes, f"follower {number}", 0.01)
            clients.create_task(follower)
        clients.create_task(load.edit(HTTP, edited, "editor", 0.05))
        clients.create_task(load.disable(HTTP, off, "guard"))
        clients.create_task(load.make(HTTP, "maker", 0.05))
        clients.create_task(load.make(HTTP, "other maker", 0.05))
        await carry_out(house, steps, chaos.seed, pause_s=1.0)
        await asyncio.sleep(1)
        load.stop.set()
    story = f"seed {chaos.seed}, plan {steps}"
    ledger = load.ledger
    assert not ledger.wrong_targets(), story
    assert not ledger.backwards(), story
    assert not ledger.stale(NOISE_S), story
    assert not ledger.odd, story
    assert not ledger.needless_503(NOISE_S), story
    await assert_all_made(load, story)
    counted = await load.drained_counts(lambda found: not ledger.miscounted(found, NOISE_S))
    assert not ledger.miscounted(counted, NOISE_S), story
    await assert_no_work_is_left(house, story, with_stuck=chaos.is_long)
    print(  # noqa: T201  the figures of this run
        f"{story}: {len(ledger.followed)} followed, {sum(ledger.cut.values())} cut off, "
        f"{sum(ledger.served().values()) - sum(counted.values())} clicks lost at SIGKILL of HTTP, "
        f"{len(load.made)} keys, {sum(len(link.edits) for link in edited)} edits"
    )


async def assert_all_made(load: Load, story: str) -> None:
    """Each key made exactly one link, which is there and leads where it should."""
    ids = []
    for key, (first, again) in load.made.items():
        assert first.status == again.status == 201, (story, key, first.body, again.body)
        assert first.body == again.body, (story, key)
        assert again.headers.get("idempotency-replayed") == "true", (story, key)
        ids.append(first.json["id"])
        shown = await load.insist("GET", f"/api/v1/links/{first.json['id']}")
        assert (shown.status, shown.json["url"]) == (200, first.json["url"]), (story, key)
        followed = await load.insist("GET", f"/{first.json['code']}")
        assert followed.location == first.json["url"], (story, key)
    rows = await load.house.rows(
        "SELECT count(*), count(DISTINCT url) AS urls FROM links WHERE url LIKE $1",
        f"https://example.com/made/{load.seed}-%",
    )
    assert (rows[0]["count"], rows[0]["urls"]) == (len(ids), len(set(ids))), story


async def assert_no_work_is_left(house: House, story: str, *, with_stuck: bool) -> None:
    """The worker goes on after all: events are relayed and jobs are done.

    `with_stuck`: those too that a killed worker had taken; its heartbeat must grow old first.
    """
    until = monotonic() + 60
    while True:
        left = await house.rows(
            "SELECT 'outbox' AS what, id::text, '' AS state FROM outbox UNION ALL"
            " SELECT entrypoint, id::text, concat_ws(' ', status, attempts, execute_after - now())"
            " FROM pgqueuer WHERE status <> 'picked' OR $1",
            with_stuck,
        )
        if not left:
            return
        assert monotonic() < until, (story, left)
        await asyncio.sleep(0.2)


async def test_each_click_is_counted_once_through_stops_and_dying_workers(
    house: House, load: Load, chaos: Chaos
) -> None:
    """SIGTERM of HTTP and SIGKILL of workers lose and repeat nothing: the counts are equal."""
    codes = [link.code for link in await links(load, "exact", 20)]
    async with asyncio.TaskGroup() as clients:
        for number in range(6):
            clients.create_task(load.follow(HTTP[number % 2], codes, f"follower {number}", 0.005))
        for turn in range(int(chaos.pick(2, 20))):
            await asyncio.sleep(0.5)
            await house.restart(HTTP[turn % 2], signal.SIGTERM)
            await house.restart(WORKERS[0])
        await asyncio.sleep(0.5)
        load.stop.set()
    served = {code: load.ledger.served()[code] for code in codes}
    counted = await load.drained_counts(lambda found: found == served)
    assert counted == served, f"seed {chaos.seed}, cut off: {load.ledger.cut}"
    assert not [*load.ledger.odd, *load.ledger.refused], f"seed {chaos.seed}"
