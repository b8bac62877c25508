"""Clicks from the stream to their tables, against a plain COPY of the same rows."""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from bench.house import House, open_house
from bench.measure import Row, compare, say
from posthouse.kernel import ids
from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.db import DatabaseLimits, open_database
from posthouse.kernel.server import settle
from posthouse.links.agents import AgentBook, referrer_host
from posthouse.links.batches import ClickEvent, pack
from posthouse.links.ingest import Housekeeping, Ingester
from posthouse.links.recorder import STREAM
from posthouse.links.tally import COLUMNS

EVENTS = 100_000
BATCH = 200
LINKS = 1_000
AGENTS = 200
REFERRERS = 50
ROUNDS = 5


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house() as house:
        return await _measure(house)


async def _measure(house: House) -> list[Row]:
    clock = SystemClock()
    db = await open_database(house.database_url, DatabaseLimits(statement_s=60))
    cache = open_cache(house.valkey_url, clock)
    ours: list[float] = []
    plain: list[float] = []
    try:
        await Housekeeping(db, clock, 90).run()
        ingester = Ingester(db, cache, clock)
        settle()  # as a worker does
        while await ingester.move_once():
            pass
        for number in range(ROUNDS + 1):
            events = _events(clock, house.workspace_id.bytes)
            rows = _rows(events)
            async with db.begin() as tx:
                await tx.execute("TRUNCATE clicks, click_rollups, click_uniques")
            began = time.perf_counter()
            async with db.begin() as tx:
                await tx.copy_records_to_table("clicks", records=rows, columns=COLUMNS)
            copied_s = time.perf_counter() - began
            del rows  # a worker has no such thing to walk over
            async with db.begin() as tx:
                await tx.execute("TRUNCATE clicks")
            for start in range(0, EVENTS, BATCH):
                batch = pack(events[start : start + BATCH])
                await cache.call(lambda client, batch=batch: client.xadd(STREAM, {"b": batch}))
            began = time.perf_counter()
            while await ingester.move_once():
                pass
            moved_s = time.perf_counter() - began
            async with db.read() as connection:
                assert await connection.fetchval("SELECT count(*) FROM clicks") == EVENTS
            if number:  # the first round warms up
                plain.append(EVENTS / copied_s)
                ours.append(EVENTS / moved_s)
                say(f"clicks {number} of {ROUNDS}: COPY {plain[-1]:,.0f}/s, ours {ours[-1]:,.0f}/s")
    finally:
        await cache.close()
        await db.close()
    return [
        compare(
            "click ingestion, stream to tables, of a plain COPY", ours, plain,
            unit="clicks/s", at_least=0.5, is_cost=False,
        )
    ]  # fmt: skip


def _rows(events: list[ClickEvent]) -> list[tuple[object, ...]]:
    """The raw rows of clicks, ready to be copied."""
    book = AgentBook()
    found: list[tuple[object, ...]] = []
    for number, event in enumerate(events):
        agent = book.read(event.agent)
        at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
        found.append(
            (
                at, UUID(bytes=event.workspace_id), UUID(bytes=event.link_id), number,
                event.visitor, agent.kind_number, referrer_host(event.referrer), event.country,
                agent.device, agent.browser, agent.os, event.campaign, agent.shown,
            )
        )  # fmt: skip
    return found


def _events(clock: SystemClock, workspace_id: bytes) -> list[ClickEvent]:
    """Clicks of a minute: few links have most of them (the square of an even draw)."""
    links = [ids.fresh().bytes for _ in range(LINKS)]
    agents = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{100 + number % 40}.0.{number}.0 Safari/537.36"
        for number in range(AGENTS)
    ]
    referrers = [f"https://www.site{number}.example/a/page?x=1" for number in range(REFERRERS)]
    now_ms = int(clock.epoch_s() * 1000)
    draw = secrets.randbelow
    return [
        ClickEvent(
            links[draw(LINKS) * draw(LINKS) // LINKS],
            workspace_id,
            now_ms - draw(60_000),
            False,
            False,
            draw(2**40),
            "",
            agents[draw(AGENTS)],
            referrers[draw(REFERRERS) * draw(REFERRERS) // REFERRERS],
            "",
        )
        for _ in range(EVENTS)
    ]
