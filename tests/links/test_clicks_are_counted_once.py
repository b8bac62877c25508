"""From the redirect to the table: nothing lost, nothing doubled."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from posthouse.embedded import Endpoints, embedded_servers
from posthouse.kernel.cache import Cache, CacheDownError, open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.supervise import Loop, supervise
from posthouse.links import spool as spooling
from posthouse.links.batches import ClickEvent, UnknownBatchError, pack, unpack
from posthouse.links.ingest import Ingester
from posthouse.links.recorder import INCARNATION, STREAM, Follow, Recorder
from posthouse.links.spool import Spool
from posthouse.runtime import Runtime
from tests.make import Maker

CLOCK = SystemClock()


@pytest.fixture(scope="module")
async def own_valkey(scratch: Path) -> AsyncGenerator[Endpoints]:
    """Servers that nobody else reads from, so that a test may steer the ingester by hand."""
    async with embedded_servers(scratch / "own", durable=False) as endpoints:
        yield endpoints


@pytest.fixture
async def cache(own_valkey: Endpoints) -> AsyncGenerator[Cache]:
    cache = open_cache(own_valkey.valkey_url, CLOCK)
    await cache.call(lambda client: client.flushall())
    yield cache
    await cache.close()


@pytest.fixture
async def ingester(runtime: Runtime, cache: Cache) -> Ingester:
    async with runtime.parts.db.begin() as tx:
        await tx.execute("DELETE FROM click_offsets WHERE stream = $1", STREAM)
    return Ingester(runtime.parts.db, cache, CLOCK)


async def no_salt(day: date) -> bytes:
    del day
    return b"salt"


def recorder_of(cache: Cache, folder: Path, limit_bytes: int = 1_000_000) -> Recorder:
    return Recorder(cache, CLOCK, Spool(folder, limit_bytes), no_salt)


def follow(link_id: bytes, workspace_id: bytes, **changes: Any) -> Follow:
    given: dict[str, Any] = {
        "at_s": CLOCK.epoch_s(),
        "method": "GET",
        "address": "192.0.2.1",
        "agent": b"test",
        "referrer": b"",
        "purpose": b"",
        "campaign": "",
    }
    return Follow(link_id, workspace_id, **{**given, **changes})


async def drain(ingester: Ingester) -> None:
    while await ingester.move_once():
        pass


async def counted(runtime: Runtime, link_id: Any) -> tuple[int, int, int]:
    """Raw clicks, rolled up clicks and unique visitors of a link."""
    async with runtime.parts.db.read() as connection:
        raw = await connection.fetchval("SELECT count(*) FROM clicks WHERE link_id = $1", link_id)
        rolled = await connection.fetchval(
            "SELECT coalesce(sum(clicks), 0)::int FROM click_rollups "
            "WHERE link_id = $1 AND dimension = 0",
            link_id,
        )
        unique = await connection.fetchval(
            "SELECT coalesce(sum(estimate), 0)::int FROM click_uniques WHERE link_id = $1", link_id
        )
    return raw, rolled, unique


async def test_each_follow_becomes_one_click(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    for number in range(450):
        address = f"192.0.2.{number % 50}"
        recorder.record(follow(link.id.bytes, link.workspace_id.bytes, address=address))
    await recorder.flush()
    await drain(ingester)
    assert await counted(runtime, link.id) == (450, 450, 50)


async def test_no_text_that_a_follower_sends_stops_the_counting(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    hostile = ("a\x00b", "\x00", "\x1b[2J", "\u202e", "\u00fc" * 100, "\U0001f600")
    for text in hostile:
        raw = text.encode()
        sent = {"campaign": text, "agent": raw, "referrer": b"https://" + raw + b".example/"}
        recorder.record(follow(link.id.bytes, link.workspace_id.bytes, **sent))
    await recorder.flush()
    await drain(ingester)
    raw_clicks, rolled, _ = await counted(runtime, link.id)
    assert raw_clicks == rolled == len(hostile)
    async with runtime.parts.db.read() as connection:
        sql = "SELECT campaign FROM clicks WHERE link_id = $1 ORDER BY event_id"
        found = [row["campaign"] for row in await connection.fetch(sql, link.id)]
    assert found == [text.replace("\x00", "") for text in hostile]


async def test_a_reader_that_dies_anywhere_neither_loses_nor_doubles(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    for _ in range(5):
        recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
        await recorder.flush()
    # Killed in the middle of its transaction: everything of it is undone, the position too.
    victim = Ingester(runtime.parts.db, cache, CLOCK)
    await victim.move_once()
    with pytest.raises(ZeroDivisionError):
        async with runtime.parts.db.begin():
            await victim.move_once()
            raise ZeroDivisionError
    assert (await counted(runtime, link.id))[0] == 0
    # Two that believe they own the stream: one of them moves the position, the other does not.
    other = Ingester(runtime.parts.db, cache, CLOCK)
    async with asyncio.TaskGroup() as group:
        group.create_task(drain(ingester))
        group.create_task(drain(other))
    assert (await counted(runtime, link.id))[:2] == (5, 5)


async def test_a_batch_that_came_twice_counts_once(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester
) -> None:
    link = await make.link()
    event = ClickEvent(
        link.id.bytes, link.workspace_id.bytes, 1_767_225_600_000, False, False, 1, "", "", "", ""
    )
    batch = pack([event, event])
    for _ in range(3):
        await cache.call(lambda client: client.xadd(STREAM, {"b": batch}))
    await drain(ingester)
    assert (await counted(runtime, link.id))[:2] == (2, 2)


async def test_a_valkey_that_forgot_everything_starts_a_new_life(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
    await recorder.flush()
    await drain(ingester)
    await cache.call(lambda client: client.flushall())
    recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
    await recorder.flush()
    await drain(ingester)
    assert (await counted(runtime, link.id))[:2] == (2, 2)
    async with runtime.parts.db.read() as connection:
        row = await connection.fetchrow("SELECT * FROM click_offsets WHERE stream = $1", STREAM)
    assert row is not None
    assert row["restarts"] == 1
    assert await cache.get(INCARNATION) == row["incarnation"].encode()


async def test_an_unreadable_batch_is_counted_and_passed(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    for damaged in (b"", b"\x02" + b"x" * 40, b"\x01" + b"x" * 40):
        await cache.call(lambda client: client.xadd(STREAM, {"b": damaged}))  # noqa: B023
    recorder = recorder_of(cache, tmp_path)
    recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
    await recorder.flush()
    await drain(ingester)
    assert ingester.unreadable == 3
    assert (await counted(runtime, link.id))[0] == 1


async def test_without_valkey_clicks_wait_on_disk_and_are_replayed(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    dead = open_cache("unix:///nowhere.sock", CLOCK)
    cut_off = recorder_of(dead, tmp_path)
    for _ in range(3):
        cut_off.record(follow(link.id.bytes, link.workspace_id.bytes))
    await cut_off.flush()
    assert not cut_off.spool.is_empty
    assert cut_off.dropped == 0
    cut_off.cache = cache
    await cut_off._replay()
    assert cut_off.spool.is_empty
    assert list(tmp_path.glob("*.spool")) == []
    await drain(ingester)
    assert (await counted(runtime, link.id))[:2] == (3, 3)


async def test_what_waits_on_disk_is_sent_when_valkey_is_back_though_nobody_follows(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    cut_off = recorder_of(open_cache("unix:///nowhere.sock", CLOCK), tmp_path)
    cut_off.record(follow(link.id.bytes, link.workspace_id.bytes))
    await cut_off.flush()
    for _ in range(3):
        await cut_off._replay()
    assert len(list(tmp_path.glob("*.spool"))) == 1, "each try began another file"
    await cut_off.close()  # as when it dies
    survivor = recorder_of(cache, tmp_path)
    async with supervise([Loop("spool", survivor.retry_spooled)]), asyncio.timeout(5):
        while not survivor.spool.is_empty:
            await asyncio.sleep(0.05)
    await drain(ingester)
    assert (await counted(runtime, link.id))[0] == 1


async def test_the_disk_budget_is_one_for_all_files(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, 150), Spool(tmp_path, 150)
    assert first.add(bytes(100))
    assert not second.add(bytes(100))
    first.close()
    assert not first.add(bytes(100))
    first.close()
    second.close()


async def test_a_stop_in_the_middle_of_a_flush_loses_nothing(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    is_flushing = asyncio.Event()

    async def slow_salt(day: date) -> bytes:
        is_flushing.set()
        await asyncio.sleep(0.2)
        return await no_salt(day)

    recorder.salt_of = slow_salt
    async with supervise([Loop("recorder", recorder.run)]):
        recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
        await is_flushing.wait()
    await recorder.close()
    await drain(ingester)
    assert (await counted(runtime, link.id))[0] == 1


async def test_a_full_disk_budget_drops_and_says_so(tmp_path: Path) -> None:
    recorder = recorder_of(open_cache("unix:///nowhere.sock", CLOCK), tmp_path, limit_bytes=150)
    for _ in range(3):
        recorder.record(follow(bytes(16), bytes(16)))
        await recorder.flush()
    assert (recorder.recorded, recorder.dropped) == (1, 2)
    await recorder.close()


def test_the_file_of_a_dead_process_is_taken_over_and_a_living_ones_is_not(tmp_path: Path) -> None:
    living, dead = Spool(tmp_path, 1000), Spool(tmp_path, 1000)
    living.add(b"living")
    dead.add(b"dead")
    assert dead._file is not None
    dead._file.close()  # what the kernel does when a process dies
    (taken,) = Spool(tmp_path, 1000).take()
    assert list(spooling.read(taken)) == [b"dead"]
    living.close()


def test_a_torn_record_at_the_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "clicks-1.spool"
    path.write_bytes(b"\0\0\0\3abc" + b"\0\0\0\x09ab")
    assert list(spooling.read(path)) == [b"abc"]


def test_a_batch_of_another_version_is_refused() -> None:
    with pytest.raises(UnknownBatchError):
        unpack(b"\x02" + bytes(30))


async def test_a_process_that_is_told_to_stop_sends_what_it_has(
    runtime: Runtime, make: Maker, cache: Cache, ingester: Ingester, tmp_path: Path
) -> None:
    link = await make.link()
    recorder = recorder_of(cache, tmp_path)
    async with supervise([Loop("recorder", recorder.run)]):
        await asyncio.sleep(0)
        for _ in range(7):
            recorder.record(follow(link.id.bytes, link.workspace_id.bytes))
    await drain(ingester)
    assert (await counted(runtime, link.id))[0] == 7


async def test_no_address_leaves_the_process(cache: Cache, tmp_path: Path) -> None:
    recorder = recorder_of(cache, tmp_path)
    recorder.record(follow(bytes(16), bytes(16), address="198.51.100.77"))
    await recorder.flush()
    entries: Any = await cache.call(lambda client: client.xrange(STREAM))
    (entry,) = entries
    assert b"198.51.100.77" not in entry[1][b"b"]
    _, (event,) = unpack(entry[1][b"b"])
    assert event.visitor != 0


def test_a_dead_cache_fails_fast() -> None:
    async def ask() -> None:
        dead = open_cache("unix:///nowhere.sock", CLOCK)
        for _ in range(5):
            with pytest.raises(CacheDownError):
                await dead.get("x")
        assert dead.breaker.is_open

    asyncio.run(ask())
