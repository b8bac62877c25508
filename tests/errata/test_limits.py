"""Limits hold what the sketched limiter does not; a test is named for its line."""

import os

from posthouse.app import create_app
from posthouse.kernel.ratelimit import Rate
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from tests.accounts.people import caller_at, fresh_address
from tests.make import Maker


async def test_L1284_a_bucket_ends_by_itself(runtime: Runtime) -> None:
    rate = Rate(os.urandom(8).hex(), per_s=0.1, burst=20)
    cache = runtime.parts.cache
    for _ in range(25):
        await runtime.parts.limiter.take("k", rate)
        left_ms = await cache.call(lambda client: client.pttl(f"rate:{rate.name}:k"))
        assert 0 < left_ms <= rate.window_s * 1000


async def test_L1287_each_key_has_a_bucket_wherever_it_calls_from(
    settings: Settings, make: Maker
) -> None:
    tight = settings.model_copy(update={"rate_per_s": 0.01, "rate_burst": 2})
    first, second = await make.key(), await make.key()
    address = fresh_address()
    async with open_runtime(tight) as runtime:
        app = create_app(runtime)
        statuses: list[int] = []
        for _ in range(3):
            async with caller_at(app, token=first) as caller:
                statuses.append((await caller.get("/links")).status_code)
        assert statuses == [200, 200, 429]
        async with caller_at(app, address, first) as one, caller_at(app, address, second) as two:
            assert (await one.get("/links")).status_code == 429
            assert (await two.get("/links")).status_code == 200


async def test_L1314_a_refusal_is_a_429_that_says_when_to_come_back(
    settings: Settings, make: Maker
) -> None:
    tight = settings.model_copy(update={"rate_per_s": 0.05, "rate_burst": 1})
    key = await make.key()
    async with open_runtime(tight) as runtime, caller_at(create_app(runtime), token=key) as caller:
        await caller.get("/links")
        refused = await caller.get("/links")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    assert 10 <= int(refused.headers["retry-after"]) <= 20
