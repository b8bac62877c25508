"""Moves clicks from the stream into Postgres, each exactly once.

The position in the stream is kept in the very transaction that writes the rows, so a crash at
any point repeats nothing and skips nothing. One worker owns the stream by an advisory lock; the
conditional update of the position is the fence should two believe that they do. A batch that was
sent twice (after a time-out, or from a spool file) is known by its id.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from redis.asyncio import Redis

from posthouse.kernel.cache import Cache, CacheDownError
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database, Tx
from posthouse.links.agents import AgentBook
from posthouse.links.batches import ClickEvent, UnknownBatchError, unpack
from posthouse.links.recorder import INCARNATION, STREAM
from posthouse.links.store import clicks as store
from posthouse.links.tally import Tally

log = logging.getLogger("posthouse.links")

START = "0-0"
# 100,000 clicks of a backlog in one transaction: rollups of many clicks are written once.
_READ_ENTRIES = 512
_CHUNK_ENTRIES = 64
_IDLE_S = 0.1
_RETRY_S = 1.0
_TRIM_EVERY = 20

# The number of its first event, its id, its events.
Batch = tuple[int, bytes, list[ClickEvent]]
Numbered = tuple[int, list[ClickEvent]]


class ClickSink(Protocol):
    """Where clicks go, in the transaction that moves the position.

    Another store than Postgres has to keep the position beside the clicks itself; see
    `docs/decisions/0005-clicks.md` for the load at which that pays.
    """

    async def write(self, tx: Tx, batches: Sequence[Numbered]) -> None:
        """Keep what one read of the stream adds."""
        ...


@dataclass(slots=True)
class PostgresSink:
    """Writes raw clicks by COPY, and adds to the rollups and the sketches."""

    _book: AgentBook = field(default_factory=AgentBook, init=False)

    async def write(self, tx: Tx, batches: Sequence[Numbered]) -> None:
        """Keep what one read of the stream adds."""
        counted = Tally(self._book)
        rows: list[bytes] = []
        for start in range(0, len(batches), _CHUNK_ENTRIES):
            rows.append(counted.add(batches[start : start + _CHUNK_ENTRIES]))
            await asyncio.sleep(0)  # this worker has other loops
        await store.copy_clicks(tx, rows)
        await store.add_rollups(tx, counted.rollups())
        await store.add_visitors(tx, counted.visitors)


@dataclass(slots=True)
class Ingester:
    """Reads one stream for as long as it owns it."""

    db: Database
    cache: Cache
    clock: Clock
    sink: ClickSink = field(default_factory=PostgresSink)
    ingested: int = field(default=0, init=False)
    unreadable: int = field(default=0, init=False)
    _incarnation: str = field(default="", init=False)
    _position: str = field(default=START, init=False)

    async def run(self) -> None:
        """Own the stream and move what comes; for `supervise`."""
        while True:
            async with store.owning_stream(self.db, STREAM) as connection:
                if connection is not None:
                    await self._move_until_lost(connection)
            await asyncio.sleep(_RETRY_S)

    async def _move_until_lost(self, owner: Tx) -> None:
        rounds = 0
        self._incarnation = ""
        while await store.still_owns(owner, STREAM):
            try:
                moved = await self.move_once()
                rounds += 1
                if rounds % _TRIM_EVERY == 0:
                    await self._trim()
            except CacheDownError:
                moved = 0
                await asyncio.sleep(_RETRY_S)
            if moved == 0:
                await asyncio.sleep(_IDLE_S)

    async def move_once(self) -> int:
        """Move what is there, up to 512 batches; give how many batches were read."""
        incarnation, entries = await self._look(self._position)
        if incarnation != self._incarnation:
            async with self.db.begin() as tx:
                self._position = await store.position(tx, STREAM, incarnation)
            self._incarnation = incarnation
            return 1
        if not entries:
            return 0
        last_id = entries[-1][0].decode()
        batches = self._read(entries)
        async with self.db.begin() as tx:
            if not await store.advance(tx, STREAM, incarnation, self._position, last_id):
                self._incarnation = ""
                return 0
            fresh = await store.note_batches(tx, [batch_id for _, batch_id, _ in batches])
            wanted: list[Numbered] = []
            for first_number, batch_id, events in batches:
                if batch_id in fresh:
                    # Its second copy may be in this very read.
                    fresh.discard(batch_id)
                    wanted.append((first_number, events))
            if wanted:
                await self.sink.write(tx, wanted)
        self._position = last_id
        self.ingested += sum(len(events) for _, events in wanted)
        return len(entries)

    async def _look(self, position: str) -> tuple[str, list[tuple[bytes, dict[bytes, bytes]]]]:
        """Read the name of the stream's present life and the next entries, in one round trip."""
        fresh = secrets.token_hex(8)

        async def ask(client: Redis) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            pipeline.set(INCARNATION, fresh, nx=True)
            pipeline.get(INCARNATION)
            pipeline.xrange(STREAM, f"({position}", "+", count=_READ_ENTRIES)
            return await pipeline.execute()

        _, found, entries = await self.cache.call(ask)
        return found.decode(), entries

    def _read(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Batch]:
        batches: list[Batch] = []
        for entry_id, fields in entries:
            try:
                batch_id, events = unpack(fields.get(b"b", b""))
            except UnknownBatchError as error:
                self.unreadable += 1
                log.warning(
                    "unreadable click batch", extra={"entry": entry_id.decode(), "why": str(error)}
                )
                continue
            batches.append((_first_number(entry_id.decode()), batch_id, events))
        return batches

    async def _trim(self) -> None:
        """Let Valkey forget what is in Postgres."""
        position = self._position
        if position != START:
            await self.cache.call(
                lambda client: client.xtrim(STREAM, minid=position, approximate=True)
            )


def _first_number(entry_id: str) -> int:
    """The number of an entry's first event, of milliseconds and sequence, with room for 4,096."""
    milliseconds, _, sequence = entry_id.partition("-")
    return (int(milliseconds) << 20 | (int(sequence) & 0xFF) << 12) & (2**63 - 1)


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """The daily work on the tables of clicks."""

    db: Database
    clock: Clock
    raw_days: int

    async def run(self) -> None:
        """Make the partitions of the next days, drop old ones, forget old salts and batch ids."""
        today = self.clock.now().date()
        async with self.db.begin() as tx:
            for ahead in range(-1, 8):
                await store.make_partition(tx, today + timedelta(days=ahead))
            await store.drop_partitions(tx, today - timedelta(days=self.raw_days))
            await store.forget_old_salts(tx, today - timedelta(days=2))
            await store.forget_old_batches(tx)

    async def run_at_start(self) -> None:
        """Do it once, then wait; a worker that starts on an old database needs partitions."""
        await self.run()
        await asyncio.Event().wait()
