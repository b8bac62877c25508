"""However often its connection is cut, an upload by tus has the bytes that were sent (P11)."""

import asyncio
import hashlib
import random  # noqa: TID251  a seeded choice, no secret
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress

import httpx
import pytest

from posthouse.files.model import FILE
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.files.badnetwork import bad_network
from tests.files.sending import PNG, content_of, look
from tests.files.test_tus import BYTES, add, begin, id_of, offset_of
from tests.live import Live, live_process

KEPT = 60_000


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    given = pytestconfig.getoption("--seed")
    seed = given if given is not None else secrets.randbelow(1_000_000)
    print(f"--seed {seed}")  # noqa: T201  shown with a failure
    return seed


@pytest.fixture
def live(settings: Settings, runtime: object) -> Generator[Live]:
    with live_process(settings) as live:
        yield live


def over(port: int, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same caller, by way of a port."""
    headers = {"Authorization": client.headers["authorization"]}
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)


async def trickle(content: bytes, size: int, pause_s: float = 0) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(pause_s)


async def test_an_upload_outlives_every_cut(
    client: httpx.AsyncClient, live: Live, seed: int, pytestconfig: pytest.Config
) -> None:
    dice, cuts = random.Random(seed), 200 if pytestconfig.getoption("--chaos") == "long" else 40
    content = PNG + dice.randbytes(6_000_000)
    url = await begin(client, len(content))
    # All rooms together hold less than the content, so that each of them ends in a cut.
    rooms = [dice.randint(1, len(content) // cuts) for _ in range(cuts)]
    seen = [0]
    async with bad_network(live.port, iter(rooms)) as network:
        while seen[-1] < len(content):
            async with over(network.port, client) as through:
                try:
                    answer = await add(through, url, seen[-1], trickle(content[seen[-1] :], 5_000))
                    assert answer.status_code in {204, 409, 423}, answer.text
                except httpx.TransportError:
                    pass
            await asyncio.sleep(0.05)  # as clients do, so that what had come is counted
            seen.append(await offset_of(client, url))
    assert network.cuts == rooms
    assert seen == sorted(seen)
    assert len(set(seen)) > cuts // 4, "cuts kept nothing of what had come before them"
    shown = await look(client, id_of(url))
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    assert await content_of(client, shown["url"]) == content
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (len(content), 0)


async def test_of_two_who_add_at_once_the_loser_adds_nothing(
    client: httpx.AsyncClient, live: Live, seed: int
) -> None:
    dice, steps = random.Random(seed), 20
    sizes = [dice.randint(1, 40_000) for _ in range(steps)]
    url = await begin(client, sum(sizes))
    expected = b""
    async with over(live.port, client) as one, over(live.port, client) as other:
        for size in sizes:
            contents = [bytes([65 + number]) * size for number in range(2)]
            async with asyncio.TaskGroup() as group:
                racing = [
                    group.create_task(
                        add(racer, url, len(expected), trickle(content, size // 5 + 1, 0.01))
                    )
                    for racer, content in zip((one, other), contents, strict=True)
                ]
            statuses = [task.result().status_code for task in racing]
            assert statuses.count(204) == 1, statuses
            assert set(statuses) <= {204, 409, 423}
            expected += contents[statuses.index(204)]
            assert await offset_of(one, url) == len(expected)
    shown = await look(client, id_of(url))
    assert await content_of(client, shown["url"]) == expected


async def test_an_upload_outlives_the_death_of_its_server(
    client: httpx.AsyncClient, settings: Settings, runtime: Runtime, seed: int
) -> None:
    dice = random.Random(seed)
    content = PNG + dice.randbytes(4 * KEPT)
    url = await begin(client, len(content))
    for death in range(3):
        offset = death * KEPT
        with live_process(settings) as live:
            async with over(live.port, client) as through:
                kept = await add(through, url, offset, content[offset : offset + KEPT])
                assert kept.status_code == 204, kept.text
            head = patch_head(client, url, offset + KEPT, len(content) - offset - KEPT)
            await die_midway(live, runtime, url, head + content[offset + KEPT :][: KEPT // 2])
        assert await offset_of(client, url) == offset + KEPT
    answer = await add(client, url, 3 * KEPT, content[3 * KEPT :])
    assert answer.status_code == 204, answer.text
    shown = await look(client, id_of(url))
    assert await content_of(client, shown["url"]) == content


def patch_head(client: httpx.AsyncClient, url: str, offset: int, length: int) -> bytes:
    lines = [f"PATCH {url} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}"]
    lines += [f"Authorization: {client.headers['authorization']}", f"Upload-Offset: {offset}"]
    lines += [f"{name}: {value}" for name, value in BYTES.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def die_midway(live: Live, runtime: Runtime, url: str, request: bytes) -> None:
    """Send a request up to its middle, see that the upload is held for it, and kill the process."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(request)
    await writer.drain()
    async with asyncio.timeout(10), runtime.parts.db.read() as connection:
        while not await connection.fetchval(
            "SELECT lease_until > now() FROM uploads WHERE id = $1", FILE.read(id_of(url))
        ):
            await asyncio.sleep(0.01)
    live.process.kill()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
