"""What followers and makers see while Valkey or Postgres is away."""

import asyncio
import secrets
from time import monotonic

import pytest

from posthouse.embedded import postgres, valkey
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, House
from tests.chaos.ledger import Ledger, target
from tests.chaos.load import Load
from tests.chaos.wire import Answer

RECOVERED_S = 5.0
REFUSED_S = 1.0
# The machine's own stalls; the promise is the number before it.
NOISE_S = 0.5

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def warm(load: Load, codes: list[str]) -> None:
    """Follow each link once in each process, so that all know it."""
    for part in HTTP:
        line = load.house.line(part)
        for code in codes:
            assert (await line.ask("GET", f"/{code}")).status == 302
        line.close()


async def follow_all(load: Load, codes: list[str], for_s: float) -> None:
    """Follow links of both processes for a while."""
    load.stop.clear()
    async with asyncio.TaskGroup() as clients:
        for number in range(4):
            clients.create_task(load.follow(HTTP[number % 2], codes, f"follower {number}", 0.005))
        await asyncio.sleep(for_s)
        load.stop.set()


def all_led_on(ledger: Ledger) -> bool:
    return bool(ledger.followed) and not ledger.odd and not ledger.refused and not ledger.cut


async def test_without_valkey_every_link_leads_on_and_every_click_is_counted_later(
    house: House, load: Load, chaos: Chaos
) -> None:
    names = [f"dry-{chaos.seed}-{number}" for number in range(20)]
    links = [await load.make_link(name) for name in names]
    await follow_all(load, names[:10], 0.5)
    async with house.without(valkey.NAME):
        await follow_all(load, names, chaos.pick(2.5, 20))
        edited = await _edit(load, links[0].code)
        assert edited.status == 200  # nothing that is accepted needs Valkey
        await asyncio.sleep(
            1.5
        )  # nobody follows any more: what is on disk must be sent all the same
    assert all_led_on(load.ledger), (chaos.seed, load.ledger.odd, load.ledger.refused)
    assert not load.ledger.wrong_targets()
    served = {name: load.ledger.served()[name] for name in names}
    counted = await load.drained_counts(lambda found: found == served)
    assert counted == served, chaos.seed


async def _edit(load: Load, code: str) -> Answer:
    link = load.ledger.links[code]
    return await load.insist("PATCH", f"/api/v1/links/{link.id}", {"title": "edited"})


async def test_while_valkey_hangs_every_link_leads_on(
    house: House, load: Load, chaos: Chaos
) -> None:
    """A server that neither answers nor refuses is worse than none."""
    names = [f"hung-{chaos.seed}-{number}" for number in range(20)]
    for name in names:
        await load.make_link(name)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(house.pause_server(valkey.NAME, chaos.pick(5, 20)))
        tasks.create_task(follow_all(load, names, chaos.pick(4.5, 19)))
    assert all_led_on(load.ledger), (chaos.seed, load.ledger.odd, load.ledger.refused)
    served = {name: load.ledger.served()[name] for name in names}
    counted = await load.drained_counts(lambda found: found == served)
    assert counted == served, chaos.seed


async def test_without_postgres_hot_links_lead_on_and_all_else_is_refused_soon(
    house: House, load: Load, chaos: Chaos
) -> None:
    hot = [f"hot-{chaos.seed}-{number}" for number in range(10)]
    cold = [f"cold-{chaos.seed}-{number}" for number in range(10)]
    for name in (*hot, *cold):
        await load.make_link(name)
    await restart_http(house)  # so that no process knows the cold ones
    await warm(load, hot)
    async with house.without(postgres.NAME):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_all(load, hot, chaos.pick(2.5, 30)))
            refusals = [tasks.create_task(refusals_of(load, part, cold)) for part in HTTP]
        for part in HTTP:
            assert await house.readiness(part) == 503
    back_at = monotonic()
    for refusal in [answer for task in refusals for answer in task.result()]:
        assert refusal.status == 503, refusal.body
        assert int(refusal.headers["retry-after"]) > 0
        assert refusal.took_s < REFUSED_S + NOISE_S, refusal
    assert all_led_on(load.ledger), (chaos.seed, load.ledger.odd, load.ledger.refused)
    for part in HTTP:
        await until_well(load, part, cold[0], back_at)
    assert monotonic() - back_at < RECOVERED_S + NOISE_S


async def restart_http(house: House) -> None:
    for part in HTTP:
        await house.restart(part)


async def refusals_of(load: Load, part: str, codes: list[str]) -> list[Answer]:
    """Ask for links that the process does not know, and to make one."""
    line = load.house.line(part)
    answers = [await line.ask("GET", f"/{code}") for code in codes]
    for path, body in (("/api/v1/shorten", {"url": target("x", 1)}), ("/api/v1/links", None)):
        answers.append(await line.ask("POST" if body else "GET", path, body))
    line.close()
    return answers


async def until_well(load: Load, part: str, code: str, back_at: float) -> None:
    """Wait until a process makes and follows links again."""
    line = load.house.line(part)
    while monotonic() - back_at < 30:
        url = f"https://example.com/{secrets.token_hex(8)}"
        made = await line.ask("POST", "/api/v1/shorten", {"url": url})
        followed = await line.ask("GET", f"/{code}")
        if (made.status, followed.status) == (201, 302):
            break
        await asyncio.sleep(0.05)
    line.close()
