"""An edit is seen by every process within five seconds, a disable within one."""

import asyncio
from time import monotonic

import pytest

from posthouse.embedded import valkey
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, House
from tests.chaos.ledger import Edited, Link, target
from tests.chaos.load import Load

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def test_edits_and_disables_reach_all_processes_in_time(
    house: House, load: Load, chaos: Chaos
) -> None:
    edited = [await load.make_link(f"seen-{chaos.seed}-{number}") for number in range(5)]
    off = [await load.make_link(f"gone-{chaos.seed}-{number}") for number in range(5)]
    codes = [link.code for link in (*edited, *off)]
    async with asyncio.TaskGroup() as clients:
        for number in range(6):
            clients.create_task(load.follow(HTTP[number % 2], codes, f"follower {number}", 0.003))
        clients.create_task(load.edit([HTTP[0]], edited[:3], "editor", 0.01))
        clients.create_task(load.edit([HTTP[1]], edited[3:], "other editor", 0.01))
        for number, link in enumerate(off):
            clients.create_task(load.disable([HTTP[number % 2]], [link], f"guard {number}"))
        await asyncio.sleep(chaos.pick(6, 60))
        load.stop.set()
    ledger = load.ledger
    assert sum(len(link.edits) for link in edited) > 50
    assert not [*ledger.odd, *ledger.refused], chaos.seed
    assert not ledger.wrong_targets(), chaos.seed
    assert not ledger.backwards(), chaos.seed
    assert not ledger.stale(), chaos.seed
    assert not ledger.after_disabling(), chaos.seed


async def test_an_edit_while_valkey_hangs_is_seen_in_time(
    house: House, load: Load, chaos: Chaos
) -> None:
    """The other process cannot be told; it must notice by itself that nobody tells it anything."""
    for turn, hang_s in enumerate((0.5, 1.5, 2.2, 2.8, 4.0, 8.0) if chaos.is_long else (2.6, 4.0)):
        link = await load.make_link(f"hang-{chaos.seed}-{turn}")
        codes = [link.code]
        load.stop.clear()
        async with asyncio.TaskGroup() as clients:
            for number in range(2):
                clients.create_task(load.follow(HTTP[number], codes, f"{turn} {number}", 0.01))
            await asyncio.sleep(1.2)
            hang = clients.create_task(house.pause_server(valkey.NAME, hang_s))
            await asyncio.sleep(0.1)
            await edit(load, link, 2)
            await hang
            await until_seen(load, link, 2)
            load.stop.set()
    assert not [*load.ledger.odd, *load.ledger.refused], chaos.seed
    assert not load.ledger.backwards(), chaos.seed
    assert not load.ledger.stale(), chaos.seed


async def test_an_edit_whose_process_dies_before_it_tells_anybody_is_seen_in_time(
    house: House, load: Load, chaos: Chaos
) -> None:
    """The worker tells what the process could not."""
    link = await load.make_link(f"untold-{chaos.seed}")
    async with asyncio.TaskGroup() as clients:
        clients.create_task(load.follow(HTTP[0], [link.code], "follower", 0.01))
        await asyncio.sleep(1.2)
        hang = clients.create_task(house.pause_server(valkey.NAME, 1.0))
        await asyncio.sleep(0.05)
        editing = clients.create_task(edit(load, link, 2))
        while (await house.rows("SELECT url FROM links WHERE code = $1", link.code))[0][
            "url"
        ] != target(link.code, 2):
            await asyncio.sleep(0.005)
        committed_at = monotonic()
        await house.restart(HTTP[1])
        await editing
        link.edits[-1] = Edited(2, link.edits[-1].asked_at, committed_at)
        await hang
        await until_seen(load, link, 2)
        load.stop.set()
    assert not load.ledger.stale(), chaos.seed


async def edit(load: Load, link: Link, version: int) -> None:
    """Edit a link on the second process."""
    link.edits.append(Edited(version, monotonic(), float("inf")))
    answer = await load.insist(
        "PATCH", f"/api/v1/links/{link.id}", {"url": target(link.code, version)}, [HTTP[1]]
    )
    assert answer.status == 200
    link.edits[-1] = Edited(version, link.edits[-1].asked_at, answer.had_at)


async def until_seen(load: Load, link: Link, version: int) -> None:
    """Wait until both processes serve a version, or much too long."""
    until = monotonic() + 20
    while monotonic() < until:
        newest = {
            one.life[0]: one.version for one in load.ledger.followed[-200:] if one.code == link.code
        }
        if newest and set(newest.values()) == {version}:
            return
        await asyncio.sleep(0.05)
