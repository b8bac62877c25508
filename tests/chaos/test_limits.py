"""One limit for all processes, however many ask at once."""

import asyncio
import multiprocessing
import secrets
from dataclasses import dataclass
from multiprocessing.pool import Pool
from time import monotonic

import pytest

from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.ratelimit import Limiter, Rate
from tests.chaos.conftest import Chaos
from tests.chaos.house import House

PROCESSES, TASKS = 4, 64
ROUND_S = 0.1

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def test_four_processes_share_one_limit_exactly(house: House, chaos: Chaos) -> None:
    """P14: never more than burst + rate * t; and of what was there, nothing is left over."""
    name, for_s = secrets.token_hex(8), chaos.pick(3, 30)
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        spans = await asyncio.to_thread(_ask_all, pool, house.valkey_url, name, for_s)
    allowed = sum(one.allowed for one in spans)
    longest_s = max(one.last_at for one in spans) - min(one.first_at for one in spans)
    rate = _rate(name)
    most = rate.burst + rate.per_s * longest_s + 1
    # On a machine so busy that Valkey took 0.3 s to answer, a process counts its own share.
    most += sum(one.is_alone for one in spans) * (most / PROCESSES)
    assert allowed <= most, spans
    # While one of them always asks, no token comes back unused.
    surely_s = max(one.last_at - one.first_at for one in spans)
    assert allowed >= rate.burst + rate.per_s * (surely_s - ROUND_S) - 1, spans


@dataclass(frozen=True, slots=True)
class Span:
    """What one process was allowed while it asked, and whether it ever counted by itself."""

    allowed: int
    first_at: float
    last_at: float
    is_alone: bool


def _ask_all(pool: Pool, url: str, name: str, for_s: float) -> list[Span]:
    return pool.starmap(ask, [(url, name, for_s)] * PROCESSES, chunksize=1)


def _rate(name: str) -> Rate:
    return Rate(name, per_s=100, burst=200)


def ask(url: str, name: str, for_s: float) -> Span:
    """Take as much as there is with 64 tasks."""
    return asyncio.run(_ask(url, name, for_s))


async def _ask(url: str, name: str, for_s: float) -> Span:
    clock, rate = SystemClock(), _rate(name)
    cache = open_cache(url, clock)
    limiter = Limiter(cache, clock, PROCESSES)
    await cache.get("connect")
    allowed, first_at, last_at = 0, monotonic(), 0.0

    async def take() -> None:
        nonlocal allowed, last_at
        while monotonic() - first_at < for_s:
            asked_at = monotonic()
            verdict = await limiter.take("one key", rate)
            allowed += verdict.is_allowed
            last_at = max(last_at, asked_at)
            await asyncio.sleep(ROUND_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(take())
    await cache.close()
    return Span(allowed, first_at, last_at, is_alone=bool(limiter.local._due))
