"""A push service in another language, by others, takes what we send and decrypts it."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from posthouse.notifications.channels.webpush import WebPush, public_key
from posthouse.notifications.model import Accepted, Failure, Outgoing, Refused
from tests.notifications.channels.rigs import PUSH, around, opened

_HERE = Path(__file__).parent


@pytest.fixture
async def service() -> AsyncGenerator[httpx.AsyncClient]:
    node = shutil.which("node")
    assert node, "install Node 18 or newer, such as Debian's package nodejs; see `make test-peers`"
    process = await asyncio.create_subprocess_exec(
        *(node, _HERE / "push_service.js"), stdout=asyncio.subprocess.PIPE, cwd=_HERE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.kill()
        await process.wait()


def provider(tmp_path: Path) -> WebPush:
    found = opened("webpush", {"subject": "mailto:it@shop.example"}, {}, around(tmp_path))
    assert isinstance(found, WebPush)
    return found


async def subscribe(service: httpx.AsyncClient, key: str) -> dict[str, Any]:
    wanted = {"userVisibleOnly": "true", "applicationServerKey": key}
    answer = await service.post("/subscribe", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def outgoing(subscription: dict[str, Any]) -> Outgoing:
    return Outgoing("dlv_1", json.dumps(subscription), PUSH, collapse="order-1")


async def test_it_decrypts_what_we_send(service: httpx.AsyncClient, tmp_path: Path) -> None:
    push = provider(tmp_path)
    found = await subscribe(service, public_key(push.vapid.key))
    assert isinstance(await push.send(outgoing(found)), Accepted)
    read = await service.post("/get-notifications", json={"clientHash": found["clientHash"]})
    (message,) = read.json()["data"]["messages"]
    assert json.loads(message) == {
        "title": PUSH.title, "body": PUSH.body, "url": PUSH.url, "data": PUSH.data,
    }  # fmt: skip


async def test_it_knows_a_subscription_that_is_over(
    service: httpx.AsyncClient, tmp_path: Path
) -> None:
    push = provider(tmp_path)
    found = await subscribe(service, public_key(push.vapid.key))
    await service.post(f"/expire-subscription/{found['clientHash']}")
    outcome = await push.send(outgoing(found))
    assert isinstance(outcome, Refused)
    assert (outcome.failure, outcome.is_address_bad) == (Failure.PERMANENT, True)


async def test_it_refuses_the_key_of_another(service: httpx.AsyncClient, tmp_path: Path) -> None:
    found = await subscribe(service, public_key(provider(tmp_path).vapid.key))
    outcome = await provider(tmp_path).send(outgoing(found))
    assert isinstance(outcome, Refused)
    assert not outcome.is_address_bad
