"""Finds the route of a code: in this process's memory, else in Postgres.

What one process promises: never an older version after a newer one; an edit is seen within five
seconds, and at once when Valkey's pub/sub brings it. While Valkey is away memory lives one second
and Postgres is asked; while Postgres is away what was known is good for ten minutes.

Memory is not asked for again code by code: it is good while the channel is. A PING on the very
connection that brings the changes is answered after all that was published before it, so who has
heard an answer knows all changes up to then. A code is read again once a minute all the same.

Valkey brings the changes but holds no routes: to GET one costs as much as to read it in Postgres
by its key (`bench/redirect_miss.py` prints both), and what it held could be older.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.client import PubSub

from posthouse.kernel.cache import Cache, CacheDownError
from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import Kind, PosthouseError
from posthouse.links.routes import Route, pack, unpack

CHANNEL = "links:changed"
KNOWN_S = 60.0
FRESH_ALONE_S = 1.0
PING_S = 1.0
LATE_S = 0.5  # a Valkey that is slower than that may have let those who told it something time out
SILENT_S = 3.0  # with what is then remembered for a second, less than five
UNKNOWN_S = 2.0
STALE_S = 600.0
_SECOND_CHANCES = 16
_SEPARATOR = b"\x00"

Key = tuple[str, str]
Load = Callable[[str, str], Awaitable[Route | None]]


@dataclass(slots=True)
class Entry:
    """What this process knows of one code. `start` is the whole answer, if it never varies."""

    route: Route | None
    version: int
    fresh_until: float
    stale_until: float
    start: bytes | None = None
    is_used: bool = False


@dataclass(slots=True)
class Resolver:
    """The two levels. `load` reads Postgres; `prepare` builds the answer of a plain route."""

    cache: Cache
    clock: Clock
    load: Load
    prepare: Callable[[Route], bytes | None]
    capacity: int = 100_000
    entries: OrderedDict[Key, Entry] = field(default_factory=OrderedDict[Key, Entry], init=False)
    misses: int = field(default=0, init=False)
    _loading: dict[Key, asyncio.Future[Entry]] = field(
        default_factory=dict[Key, asyncio.Future[Entry]], init=False
    )
    _hears_changes: bool = field(default=False, init=False)

    def recall(self, key: Key) -> Entry | None:
        """Give what this process knows of a code, if that is fresh."""
        entry = self.entries.get(key)
        if entry is None or entry.fresh_until <= self.clock.monotonic():
            return None
        entry.is_used = True
        return entry

    async def resolve(self, domain: str, code: str) -> Entry:
        """Give what is known of a code, asking further out if that is not fresh.

        Raises:
            DatabaseUnavailableError: nothing is known and Postgres is away.
        """
        key = (domain, code)
        fresh = self.recall(key)
        if fresh is not None:
            return fresh
        known = self.entries.get(key)
        waiting = self._loading.get(key)
        if waiting is not None:
            return await asyncio.shield(waiting)
        future = asyncio.get_running_loop().create_future()
        self._loading[key] = future
        try:
            entry = await self._refresh(key, known)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # nobody may be waiting, and that is fine
            raise
        else:
            future.set_result(entry)
            return entry
        finally:
            del self._loading[key]

    async def _refresh(self, key: Key, known: Entry | None) -> Entry:
        self.misses += 1
        try:
            route = await self.load(*key)
        except PosthouseError as error:
            now = self.clock.monotonic()
            if error.kind is not Kind.UNAVAILABLE or known is None or known.stale_until < now:
                raise
            known.fresh_until = now + FRESH_ALONE_S
            return known
        return self.remember(key, route)

    def remember(self, key: Key, route: Route | None) -> Entry:
        """Keep a route unless a newer version is known already; give what is known then."""
        now = self.clock.monotonic()
        known = self.entries.get(key)
        version = route.version if route else 0
        lifetime = self._lifetime_s(key)
        if known is not None and known.version > version and known.stale_until > now:
            known.fresh_until = now + FRESH_ALONE_S
            return known
        entry = Entry(
            route=route,
            version=version,
            fresh_until=now + (lifetime if route else min(lifetime, UNKNOWN_S)),
            stale_until=now + STALE_S,
            start=self.prepare(route) if route is not None and route.is_plain else None,
        )
        if route is not None and route.is_counted:
            entry.fresh_until = 0.0
        self.entries[key] = entry
        self.entries.move_to_end(key)
        if len(self.entries) > self.capacity:
            self._make_room()
        return entry

    def _make_room(self) -> None:
        """Drop the oldest entry, but one that was used since its last turn gets another.

        A mark costs a use less than a place at the end of the order does.
        """
        for _ in range(_SECOND_CHANCES):
            key, entry = self.entries.popitem(last=False)
            if not entry.is_used:
                return
            entry.is_used = False
            self.entries[key] = entry
        self.entries.popitem(last=False)

    async def announce(self, key: Key, route: Route) -> bool:
        """Tell all processes of a route that was made or changed; this one knows at once.

        Gives whether Valkey took it. If not, the job that follows each change tells it later.
        """
        self.remember(key, route)
        message = _SEPARATOR.join((key[0].encode(), key[1].encode(), pack(route)))
        try:
            await self.cache.publish(CHANNEL, message)
        except CacheDownError:
            return False
        return True

    def hear(self, message: bytes) -> None:
        """Take over a change that another process told; only codes known here matter.

        One that is being read matters too: what comes of that may be older.
        """
        domain, code, packed = message.split(_SEPARATOR, 2)
        key = (domain.decode(), code.decode())
        route = unpack(packed)
        if route is not None and (key in self.entries or key in self._loading):
            self.remember(key, route)

    async def listen(self) -> None:
        """Hear changes until Valkey goes away; for `supervise`."""
        try:
            async with self.cache.subscribe(CHANNEL) as pubsub:
                await self._hear_all(pubsub)
        finally:
            self._disconnected()

    async def _hear_all(self, pubsub: PubSub) -> None:
        """Take over what comes, and insist that the channel answers.

        Raises:
            CacheDownError: it has not for `SILENT_S`, so changes may have passed us by.
        """
        asked_at = answered_at = self.clock.monotonic()
        await pubsub.ping()  # type: ignore[no-untyped-call]
        is_asking = True
        while True:
            message: Any = await pubsub.get_message(timeout=0.2)  # type: ignore[no-untyped-call]
            if message is not None and message["type"] == "message":
                self.hear(message["data"])
            elif message is not None:
                answered_at, is_asking = asked_at, False
                is_late = self.clock.monotonic() - asked_at > LATE_S
                if is_late or not self._hears_changes:
                    self._connected()
            now = self.clock.monotonic()
            if now - answered_at > SILENT_S:
                raise CacheDownError
            if not is_asking and now - asked_at > PING_S:
                asked_at, is_asking = now, True
                await pubsub.ping()  # type: ignore[no-untyped-call]

    def _lifetime_s(self, key: Key) -> float:
        """How long a code is known; it differs, or codes read together would end together."""
        if not self._hears_changes:
            return FRESH_ALONE_S
        return KNOWN_S * (0.75 + (hash(key) & 0xFF) / 1024)

    def _connected(self) -> None:
        # What was told while we did not listen is lost.
        self._hears_changes = True
        for entry in self.entries.values():
            entry.fresh_until = 0.0

    def _disconnected(self) -> None:
        self._hears_changes = False
        soon = self.clock.monotonic() + FRESH_ALONE_S
        for entry in self.entries.values():
            entry.fresh_until = min(entry.fresh_until, soon)

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop codes from this process's memory."""
        for key in keys:
            self.entries.pop(key, None)
