"""Notes each follow without holding up the redirect.

A follow appends one tuple to a list. Every 50 ms, or at 200 of them, the list becomes one packed
batch in a Valkey stream. While Valkey is away batches go to a bounded file and are replayed.
A process that is killed loses at most what it noted since the last flush.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Protocol

import msgspec

from posthouse.kernel.cache import Cache, CacheDownError
from posthouse.kernel.clock import Clock
from posthouse.links import spool as spooling
from posthouse.links.batches import ClickEvent, pack
from posthouse.links.spool import Spool

log = logging.getLogger("posthouse.links")

FLUSH_S = 0.05
FLUSH_EVENTS = 1_000
_BATCH_EVENTS = 2_000
_HELD_EVENTS = 200_000
_TEXT_LENGTH = 512

STREAM = "clicks:{0}"
INCARNATION = "clicks:{0}:incarnation"


class Countries(Protocol):
    """Finds the country of an address."""

    def country_of(self, address: str) -> str:
        """The ISO 3166 code, or an empty text."""
        ...


class NoCountries:
    """Knows no country; used without a MaxMind file."""

    def country_of(self, address: str) -> str:
        """Give an empty text."""
        del address
        return ""


class Follow(msgspec.Struct, frozen=True, gc=False):
    """One follow as the redirect saw it; a struct, because one is made for each redirect."""

    link_id: bytes
    workspace_id: bytes
    at_s: float
    method: str
    address: str
    agent: bytes
    referrer: bytes
    purpose: bytes
    campaign: str


@dataclass(slots=True)
class Recorder:
    """The buffer of one process. `salt_of` gives the salt of a day, the same in all processes."""

    cache: Cache
    clock: Clock
    spool: Spool
    salt_of: Callable[[date], Awaitable[bytes]]
    countries: Countries = field(default_factory=NoCountries)
    recorded: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    _pending: list[Follow] = field(default_factory=list[Follow], init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _salts: "dict[date, hashlib.blake2b]" = field(
        default_factory=dict[date, "hashlib.blake2b"], init=False
    )

    def record(self, follow: Follow) -> None:
        """Note a follow; returns at once."""
        pending = self._pending
        pending.append(follow)
        count = len(pending)
        if count == 1:
            asyncio.get_running_loop().call_later(FLUSH_S, self._wake.set)
        elif count == FLUSH_EVENTS:
            self._wake.set()
        elif count > _HELD_EVENTS:
            pending.pop(0)
            self.dropped += 1

    async def run(self) -> None:
        """Flush while the process runs; for `supervise`. Flushes once more when cancelled."""
        try:
            await self._replay()
            while True:
                await self._wake.wait()
                self._wake.clear()
                # Shielded: what a flush has taken out of the buffer must not go with this task.
                await asyncio.shield(self.flush())
        finally:
            with contextlib.suppress(CacheDownError):
                await asyncio.shield(self.flush())

    async def retry_spooled(self) -> None:
        """Send what lies on disk once Valkey is back; for `supervise`."""
        while True:
            await asyncio.sleep(1)
            if not await asyncio.to_thread(lambda: self.spool.is_empty):
                await self._replay()

    async def close(self) -> None:
        """Send or spool what is noted, and let go of the spool file."""
        await self.flush()
        self.spool.close()

    async def flush(self) -> None:
        """Send what is noted, or put it on disk; what is noted meanwhile is for the next time."""
        async with self._lock:
            if not self._pending:
                return
            follows, self._pending = self._pending, []
            events = await self._anonymise(follows)
            source = iter(events)
            while part := list(islice(source, _BATCH_EVENTS)):
                await self._send_or_spool(pack(part), len(part))

    async def _anonymise(self, follows: list[Follow]) -> list[ClickEvent]:
        for day in {_day(follows[0].at_s), _day(follows[-1].at_s)}:
            if day not in self._salts:
                self._salts = {
                    kept: salt
                    for kept, salt in self._salts.items()
                    if kept >= day - timedelta(days=1)
                }
                self._salts[day] = _salted(await self.salt_of(day))
        country_of = self.countries.country_of
        start = _day(follows[0].at_s)
        is_one_day = start == _day(follows[-1].at_s)
        salted = self._salts[start]
        return [
            ClickEvent(
                follow.link_id,
                follow.workspace_id,
                int(follow.at_s * 1000),
                follow.method == "HEAD",
                b"prefetch" in follow.purpose or b"preview" in follow.purpose,
                _visitor(
                    salted if is_one_day else self._salts[_day(follow.at_s)],
                    follow.address,
                    follow.agent,
                ),
                country_of(follow.address),
                follow.agent[:_TEXT_LENGTH].decode("latin-1"),
                follow.referrer[:_TEXT_LENGTH].decode("latin-1"),
                follow.campaign,
            )
            for follow in follows
        ]

    async def _send_or_spool(self, batch: bytes, count: int) -> None:
        try:
            await self._send(batch)
        except CacheDownError:
            if not await asyncio.to_thread(self.spool.add, batch):
                self.dropped += count
                return
        self.recorded += count

    async def _send(self, batch: bytes) -> None:
        await self.cache.call(lambda client: client.xadd(STREAM, {"b": batch}))

    async def _replay(self) -> None:
        """Send spooled batches and delete their files; what cannot be sent stays for later."""
        async with self._lock:
            try:
                await self.cache.get(INCARNATION)
            except CacheDownError:
                return  # to take the file now would only begin another one
            for path in await asyncio.to_thread(self.spool.take):
                try:
                    for batch in await asyncio.to_thread(lambda: list(spooling.read(path))):  # noqa: B023
                        await self._send(batch)
                except (CacheDownError, OSError):
                    return
                await asyncio.to_thread(path.unlink, missing_ok=True)


def _day(at_s: float) -> date:
    return datetime.fromtimestamp(at_s, UTC).date()


def _salted(salt: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(key=salt, digest_size=8)


def _visitor(salted: "hashlib.blake2b", address: str, agent: bytes) -> int:
    """The hash of a visitor; a copy of the salted state is cheaper than salting anew."""
    state = salted.copy()
    state.update(b"%b\0%b" % (address.encode(), agent))
    return int.from_bytes(state.digest(), signed=True)
