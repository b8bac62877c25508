"""What one process knows of codes while others change them, and while servers are away."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

from posthouse.kernel.cache import Cache, open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.errors import DatabaseUnavailableError
from posthouse.links.redirect import redirect_start
from posthouse.links.resolver import STALE_S, Resolver
from posthouse.links.routes import Outcome, Route, outcome, pack
from posthouse.runtime import Runtime
from tests.fakes import FrozenClock


def route(version: int = 1, **changes: Any) -> Route:
    given: dict[str, Any] = {
        "link_id": bytes(16),
        "workspace_id": bytes(16),
        "version": version,
        "state": "active",
        "location": f"https://example.com/{version}",
        "status": 302,
        "forwards_query": False,
        "forwards_path": False,
        "valid_from": None,
        "valid_until": None,
        "is_counted": False,
        "has_password": False,
        "campaign": "",
    }
    return Route(**{**given, **changes})


@dataclass
class Table:
    """Stands for Postgres: counts what it is asked, and can be away."""

    rows: dict[tuple[str, str], Route] = field(default_factory=dict)
    asked: int = 0
    is_away: bool = False
    delay_s: float = 0

    async def load(self, domain: str, code: str) -> Route | None:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise DatabaseUnavailableError
        return self.rows.get((domain, code))


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def valkey(runtime: Runtime) -> AsyncGenerator[Cache]:
    cache = open_cache(runtime.settings.valkey_url, SystemClock())
    yield cache
    await cache.close()


def alone(table: Table, clock: FrozenClock, **options: Any) -> Resolver:
    """A resolver without Valkey."""
    dead = open_cache("unix:///nowhere.sock", clock)
    return Resolver(dead, clock, table.load, prepare, **options)


def prepare(of: Route) -> bytes | None:
    return redirect_start(of.status, of.location)


async def test_a_code_is_asked_for_once(table: Table, clock: FrozenClock) -> None:
    table.rows["d", "c"] = route()
    table.delay_s = 0.01
    resolver = alone(table, clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(resolver.resolve("d", "c"))
    assert table.asked == 1


async def test_an_unknown_code_is_remembered_for_a_moment(table: Table, clock: FrozenClock) -> None:
    resolver = alone(table, clock)
    for _ in range(10):
        assert (await resolver.resolve("d", "x")).route is None
    assert table.asked == 1
    clock.advance(2.1)
    await resolver.resolve("d", "x")
    assert table.asked == 2


async def test_one_failed_look_up_fails_all_who_wait_and_none_later(
    table: Table, clock: FrozenClock
) -> None:
    table.is_away, table.delay_s = True, 0.01
    resolver = alone(table, clock)
    waiting = [asyncio.ensure_future(resolver.resolve("d", "c")) for _ in range(3)]
    for result in await asyncio.wait_for(asyncio.shield(settled(waiting)), 2):
        assert isinstance(result, DatabaseUnavailableError)
    table.is_away, table.rows["d", "c"] = False, route()
    assert (await resolver.resolve("d", "c")).route is not None


async def settled(waiting: list[Any]) -> list[BaseException | None]:
    await asyncio.wait(waiting)
    return [one.exception() for one in waiting]


async def test_without_postgres_what_was_known_is_good_for_ten_minutes(
    table: Table, clock: FrozenClock
) -> None:
    table.rows["d", "c"] = route()
    resolver = alone(table, clock)
    await resolver.resolve("d", "c")
    table.is_away = True
    clock.advance(STALE_S - 1)
    assert (await resolver.resolve("d", "c")).route == route()
    clock.advance(3)
    with pytest.raises(DatabaseUnavailableError):
        await resolver.resolve("d", "c")


async def test_alone_a_process_sees_an_edit_within_a_second(
    table: Table, clock: FrozenClock
) -> None:
    table.rows["d", "c"] = route(1)
    resolver = alone(table, clock)
    await resolver.resolve("d", "c")
    table.rows["d", "c"] = route(2)
    clock.advance(1.1)
    assert (await resolver.resolve("d", "c")).version == 2


async def test_an_older_version_never_replaces_a_newer_one(
    table: Table, clock: FrozenClock
) -> None:
    resolver = alone(table, clock)
    resolver.remember(("d", "c"), route(3))
    resolver.remember(("d", "c"), route(2))
    resolver.hear(b"d\x00c\x00" + pack(route(1)))
    assert resolver.entries["d", "c"].version == 3


async def test_two_processes_share_what_one_changes(table: Table, valkey: Cache) -> None:
    clock = SystemClock()
    one = Resolver(valkey, clock, table.load, prepare)
    two = Resolver(valkey, clock, table.load, prepare)
    listening = asyncio.ensure_future(two.listen())
    await asyncio.sleep(0.1)
    table.rows["share", "c"] = route(1)
    assert (await two.resolve("share", "c")).version == 1
    for version in range(2, 50):
        assert await one.announce(("share", "c"), route(version))
    for _ in range(50):
        if two.entries["share", "c"].version == 49:
            break
        await asyncio.sleep(0.02)
    assert two.entries["share", "c"].version == 49
    await one.announce(("share", "c"), route(50, state="disabled"))
    await asyncio.sleep(0.2)
    assert two.entries["share", "c"].start is None
    listening.cancel()


async def test_a_link_with_a_limit_is_never_cached(table: Table, clock: FrozenClock) -> None:
    table.rows["limited", "c"] = route(is_counted=True)
    resolver = alone(table, clock)
    for _ in range(3):
        await resolver.resolve("limited", "c")
    assert table.asked == 3


async def test_memory_is_bounded(table: Table, clock: FrozenClock) -> None:
    resolver = alone(table, clock, capacity=10)
    for number in range(50):
        await resolver.resolve("d", f"c{number}")
    assert len(resolver.entries) == 10


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Outcome.FOUND),
        ({"state": "disabled"}, Outcome.GONE),
        ({"state": "deleted"}, Outcome.UNKNOWN),
        ({"valid_from": 101.0}, Outcome.NOT_YET),
        ({"valid_from": 100.0}, Outcome.FOUND),
        ({"valid_until": 100.0}, Outcome.GONE),
        ({"valid_until": 100.1}, Outcome.FOUND),
        ({"has_password": True}, Outcome.PASSWORD),
        ({"has_password": True, "state": "disabled"}, Outcome.GONE),
    ],
)
def test_what_a_route_means(changes: dict[str, Any], expected: Outcome) -> None:
    assert outcome(route(**changes), 100.0) is expected
