"""What a process remembers is good for as long as the channel of changes answers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest

from posthouse.kernel.cache import Cache, CacheDownError
from posthouse.links.resolver import Resolver
from posthouse.links.routes import Route, pack
from tests.fakes import FrozenClock

ROUTE = Route(
    link_id=uuid4().bytes, workspace_id=uuid4().bytes, version=1, state="active",
    location="https://example.com/", status=302, forwards_query=False, forwards_path=False,
    valid_from=None, valid_until=None, is_counted=False, has_password=False, campaign="",
)  # fmt: skip
EDITED = msgspec.structs.replace(ROUTE, version=2, location="https://example.com/2")


@dataclass
class Channel:
    """A Valkey that only has a channel; each look at it takes a fifth of a second."""

    clock: FrozenClock
    answers_pings: bool = True
    is_late: bool = False
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @asynccontextmanager
    async def subscribe(self, *_: str) -> AsyncGenerator["Channel"]:
        yield self

    async def ping(self) -> None:
        if self.is_late:
            self.clock.advance(1)
        if self.answers_pings:
            self.told.append({"type": "pong", "data": b""})

    async def get_message(self, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109  as redis-py has it
        await asyncio.sleep(0)
        self.clock.advance(timeout)
        return self.told.pop(0) if self.told else None


@dataclass
class Postgres:
    """One route, and how often it was read."""

    route: Route = ROUTE
    reads: int = 0

    async def load(self, *_: str) -> Route:
        self.reads += 1
        found = self.route
        await asyncio.sleep(0)
        return found


def resolver_of(channel: Channel, postgres: Postgres) -> Resolver:
    return Resolver(cast("Cache", channel), channel.clock, postgres.load, lambda _: None)


async def test_a_code_is_read_once_while_the_channel_answers() -> None:
    channel, postgres = Channel(FrozenClock()), Postgres()
    resolver = resolver_of(channel, postgres)
    listening = asyncio.create_task(resolver.listen())
    while channel.clock.monotonic() < 1002:
        await asyncio.sleep(0)
    while channel.clock.monotonic() < 1040:
        await resolver.resolve("domain", "code")
        await asyncio.sleep(0)
    assert postgres.reads == 1
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_an_edit_that_a_silent_channel_hides_is_seen_within_five_seconds() -> None:
    channel, postgres = Channel(FrozenClock()), Postgres()
    resolver = resolver_of(channel, postgres)
    listening = asyncio.create_task(resolver.listen())
    while channel.clock.monotonic() < 1010:
        await asyncio.sleep(0)
        await resolver.resolve("domain", "code")
    channel.answers_pings = False
    postgres.route = EDITED
    edited_at = channel.clock.monotonic()
    while (await resolver.resolve("domain", "code")).version == 1:
        channel.clock.advance(0.05)
        await asyncio.sleep(0)
    assert 1 < channel.clock.monotonic() - edited_at < 5
    with pytest.raises(CacheDownError):
        await listening


async def test_after_a_late_answer_all_is_read_again() -> None:
    """Who told a change meanwhile has timed out: nobody will bring it here."""
    channel, postgres = Channel(FrozenClock()), Postgres()
    resolver = resolver_of(channel, postgres)
    listening = asyncio.create_task(resolver.listen())
    while channel.clock.monotonic() < 1002:
        await asyncio.sleep(0)
    await resolver.resolve("domain", "code")
    postgres.route = EDITED
    channel.is_late = True
    until = channel.clock.monotonic() + 5
    while channel.clock.monotonic() < until:
        entry = await resolver.resolve("domain", "code")
        await asyncio.sleep(0)
    assert entry.version == 2
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_change_that_is_told_while_the_code_is_read_wins() -> None:
    channel, postgres = Channel(FrozenClock()), Postgres()
    resolver = resolver_of(channel, postgres)
    reading = asyncio.create_task(resolver.resolve("domain", "code"))
    await asyncio.sleep(0)
    resolver.hear(b"\0".join((b"domain", b"code", pack(EDITED))))
    assert (await reading).version == 2


async def test_what_is_used_stays_when_memory_is_full() -> None:
    channel, postgres = Channel(FrozenClock()), Postgres()
    resolver = replace(resolver_of(channel, postgres), capacity=10)
    await resolver.resolve("domain", "used")
    for number in range(100):
        await resolver.resolve("domain", f"once-{number}")
        assert resolver.recall(("domain", "used"))
    assert len(resolver.entries) == 10
