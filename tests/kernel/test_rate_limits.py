"""The limiter allows what it says, no more and no less."""

import asyncio
import os
import random  # noqa: TID251  a seeded choice, no secret
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.app import create_app
from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.ratelimit import Limiter, LocalBuckets, Rate, StrictLimiter, network_of
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from tests.conftest import client_of
from tests.fakes import FrozenClock
from tests.make import Maker


def fresh_name() -> str:
    return os.urandom(8).hex()


async def test_a_burst_is_allowed_and_then_the_rate(runtime: Runtime) -> None:
    rate = Rate(fresh_name(), per_s=50, burst=20)
    clock = SystemClock()
    started = clock.monotonic()
    first_ended, allowed, lost = 0.0, 0, 0.0
    before = last = started
    while (now := clock.monotonic()) - started < 1:
        before, last = last, now
        async with asyncio.TaskGroup() as group:
            taken = [group.create_task(runtime.parts.limiter.take("k", rate)) for _ in range(64)]
        allowed += sum(task.result().is_allowed for task in taken)
        first_ended = first_ended or clock.monotonic()
        # A machine so busy that the bucket is full again between two rounds loses what comes then.
        lost += max(0, 50 * (clock.monotonic() - before) - 20)
    # The bucket is full until the first is taken, which may have had to connect. All that had
    # come back when the last round began is used up by it.
    assert 20 + int(50 * (last - first_ended) - lost) <= allowed
    assert allowed <= 20 + 50 * (clock.monotonic() - started) + 1


def test_the_local_bucket_follows_the_same_rule() -> None:
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    buckets = LocalBuckets(clock)
    rate = Rate("r", per_s=10, burst=10)
    assert [buckets.take("k", rate).is_allowed for _ in range(12)] == [True] * 10 + [False] * 2
    assert buckets.take("k", rate).retry_after_s == pytest.approx(0.1)
    clock.advance(0.1)
    assert [buckets.take("k", rate).is_allowed for _ in range(2)] == [True, False]
    clock.advance(100)
    assert [buckets.take("k", rate).is_allowed for _ in range(11)] == [True] * 10 + [False]


@given(
    per_s=st.sampled_from([0.1, 1, 7, 100]),
    burst=st.integers(1, 20),
    waits_s=st.lists(st.sampled_from([0, 0, 0, 0.001, 0.01, 0.3, 1, 25]), min_size=1, max_size=80),
)
def test_in_any_span_no_more_than_the_burst_and_the_rate(
    per_s: float, burst: int, waits_s: list[float]
) -> None:
    """P14 for every span, not only the whole; and the refusal says when the next one conforms."""
    clock = FrozenClock()
    buckets, rate = LocalBuckets(clock), Rate("r", per_s, burst)
    allowed_at: list[float] = []
    for wait_s in waits_s:
        clock.advance(wait_s)
        verdict = buckets.take("k", rate)
        if not verdict.is_allowed:
            clock.advance(verdict.retry_after_s + 1e-6)
            assert buckets.take("k", rate).is_allowed
        allowed_at.append(clock.monotonic())
    for first, start in enumerate(allowed_at):
        for last, end in enumerate(allowed_at[first:], 1):
            assert last <= burst + per_s * (end - start) + 1e-3


def test_local_buckets_do_not_grow_without_bound() -> None:
    buckets = LocalBuckets(FrozenClock(), capacity=100)
    for number in range(1000):
        buckets.take(str(number), Rate("r", 1, 1))
    assert len(buckets._due) == 100


async def test_without_valkey_the_local_bucket_takes_its_share() -> None:
    clock = FrozenClock()
    limiter = Limiter(open_cache("unix:///nowhere.sock", clock), clock, processes=2)
    rate = Rate("r", per_s=10, burst=10)
    allowed = [(await limiter.take("k", rate)).is_allowed for _ in range(10)]
    assert sum(allowed) == 5


async def test_without_valkey_the_strict_limiter_counts_in_postgres(runtime: Runtime) -> None:
    dead = open_cache("unix:///nowhere.sock", SystemClock())
    limiter = StrictLimiter(dead, runtime.parts.db)
    rate = Rate(fresh_name(), per_s=5 / 60, burst=5)
    taken = [await limiter.take("k", rate) for _ in range(7)]
    # A window may end in between, which grants at most one more.
    assert sum(verdict.is_allowed for verdict in taken) in {5, 6, 7}
    assert taken[0].is_allowed
    async with runtime.parts.db.read() as connection:
        counted = await connection.fetchval(
            "SELECT sum(used) FROM limit_counters WHERE key = $1", f"rate:{rate.name}:k"
        )
    assert counted == 7


def test_an_ipv6_network_shares_a_bucket() -> None:
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("") == network_of("nonsense") == "unknown"


def test_only_a_trusted_proxy_speaks_for_others() -> None:
    def scope(peer: str, *forwarded: bytes) -> dict[str, object]:
        return {
            "client": (peer, 1),
            "headers": [(b"x-forwarded-for", value) for value in forwarded],
        }

    trust = ProxyTrust(["10.0.0.0/8"])
    assert ProxyTrust().client_of(scope("192.0.2.1", b"1.1.1.1")) == "192.0.2.1"
    assert trust.client_of(scope("192.0.2.1", b"1.1.1.1")) == "192.0.2.1"
    assert trust.client_of(scope("10.0.0.1", b"6.6.6.6, 198.51.100.7")) == "198.51.100.7"
    assert trust.client_of(scope("10.0.0.1", b"6.6.6.6, 198.51.100.7 , 10.0.0.2")) == "198.51.100.7"
    assert trust.client_of(scope("10.0.0.1", b"6.6.6.6", b"198.51.100.7")) == "198.51.100.7"
    assert trust.client_of(scope("10.0.0.1", b"nonsense")) == "10.0.0.1"
    assert trust.client_of({"client": None, "headers": []}) == ""


async def test_a_caller_over_its_limit_hears_when_to_come_back(
    settings: Settings, make: Maker
) -> None:
    tight = settings.model_copy(update={"rate_per_s": 0.5, "rate_burst": 3})
    key = await make.key()
    async with open_runtime(tight) as runtime:
        app = create_app(runtime)
        async with client_of(app, key) as client:
            answers = [await client.get("/api/v1/links") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            refused = answers[-1]
            assert refused.json()["code"] == "rate-limited"
            assert 1 <= int(refused.headers["retry-after"]) <= 2
            assert refused.headers["ratelimit-policy"] == '"default";q=3;w=6'
            assert answers[0].headers["ratelimit"].startswith('"default";r=2;t=')
            # Probes and the reference are not limited, and neither is another caller.
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/docs")).status_code == 200
            other = {"Authorization": f"Bearer {await make.key()}"}
            assert (await client.get("/api/v1/links", headers=other)).status_code == 200


async def test_spoofed_headers_share_one_bucket(settings: Settings) -> None:
    tight = settings.model_copy(
        update={"links": settings.links.model_copy(update={"unknown_per_minute": 5})}
    )
    dice = random.Random(7)
    async with open_runtime(tight) as runtime:
        await runtime.parts.cache.call(lambda client: client.delete("rate:unknown-code:127.0.0"))
        async with client_of(create_app(runtime)) as client:
            codes = []
            for _ in range(50):
                spoofed = ".".join(str(dice.randrange(256)) for _ in range(4))
                headers = {"X-Forwarded-For": spoofed, "X-Real-IP": spoofed}
                codes.append(
                    (await client.get(f"/{fresh_name()[:7]}", headers=headers)).status_code
                )
    assert codes.count(404) == 5
    assert codes.count(429) == 45
