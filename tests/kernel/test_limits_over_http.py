"""A caller that writes a new address into each request is still one caller.

That four processes share one bucket exactly is shown by `tests/chaos/test_limits.py`.
"""

import asyncio
import ipaddress
from time import monotonic
from typing import Any

import pytest

from posthouse.app import create_app
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings

REQUESTS, TASKS, PER_MINUTE = 100_000, 64, 5
PEER, BUCKET = "203.0.113.9", "rate:unknown-code:203.0.113"


async def follow(app: App, number: int) -> int:
    """Follow an unknown code as `PEER`, under an address that no request had before."""
    spoofed = str(ipaddress.IPv4Address(0x01000000 + number)).encode()
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/unknown", "raw_path": b"/unknown", "query_string": b"",
        "root_path": "", "client": (PEER, 1), "server": ("127.0.0.1", 80), "state": {},
        "headers": [(b"host", b"127.0.0.1"), (b"x-forwarded-for", spoofed),
                    (b"x-real-ip", spoofed), (b"forwarded", b"for=" + spoofed)],
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


async def rate_keys(runtime: Runtime) -> set[bytes]:
    """All buckets of unknown codes in Valkey."""
    found = await runtime.parts.cache.call(lambda client: client.keys("rate:unknown-code:*"))
    return {key if isinstance(key, bytes) else key.encode() for key in found}


@pytest.mark.slow
async def test_100000_spoofed_addresses_are_one_bucket(settings: Settings) -> None:
    links = settings.links.model_copy(update={"unknown_per_minute": PER_MINUTE})
    async with open_runtime(settings.model_copy(update={"links": links})) as runtime:
        app = create_app(runtime)
        await runtime.parts.cache.delete(BUCKET)
        others = await rate_keys(runtime)
        numbers = iter(range(REQUESTS))
        statuses: list[int] = []

        async def ask() -> None:
            statuses.extend([await follow(app, number) for number in numbers])

        started = monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(ask())
        took_s = monotonic() - started
        assert await rate_keys(runtime) - others == {BUCKET.encode()}
        assert len(runtime.parts.limiter.local._due) == 0
    assert len(statuses) == REQUESTS
    assert set(statuses) == {404, 429}
    # What comes back meanwhile comes on top of the burst, by the clock of this very run.
    assert PER_MINUTE <= statuses.count(404) <= PER_MINUTE * (1 + took_s / 60) + 1
