"""tus 1.0, statement by statement: an upload survives cuts, and lies are refused."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.files.sending import CSV, PNG, content_of, done, look
from tests.live import live_server

V = {"Tus-Resumable": "1.0.0"}
BYTES = {**V, "Content-Type": "application/offset+octet-stream"}


def told(**metadata: str) -> str:
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )


async def begin(client: httpx.AsyncClient, length: int | None, **headers: str) -> str:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    answer = await client.post("/api/v1/files/tus", headers={**V, **size, **headers})
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return answer.headers["location"]


async def add(
    client: httpx.AsyncClient, url: str, offset: int, content: Any, **headers: str
) -> httpx.Response:
    return await client.patch(
        url, content=content, headers={**BYTES, "Upload-Offset": str(offset), **headers}
    )


async def offset_of(client: httpx.AsyncClient, url: str) -> int:
    answer = await client.head(url, headers=V)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def id_of(url: str) -> str:
    return url.rpartition("/")[2]


async def test_options_tell_what_is_spoken(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.options("/api/v1/files/tus")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "creation-defer-length", "checksum", "expiration",
        "termination", "concatenation",
    }  # fmt: skip
    assert int(answer.headers["tus-max-size"]) > 0
    assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


async def test_an_upload_goes_on_where_it_stopped_and_becomes_a_file(
    client: httpx.AsyncClient,
) -> None:
    content = PNG + os.urandom(100_000)
    url = await begin(client, len(content), **{"Upload-Metadata": told(filename="é.png")})
    assert await offset_of(client, url) == 0
    answer = await add(client, url, 0, content[:40_000])
    assert answer.status_code == 204
    assert answer.headers["upload-offset"] == "40000"
    assert await offset_of(client, url) == 40_000
    answer = await add(client, url, 40_000, content[40_000:])
    assert answer.headers["upload-offset"] == str(len(content))
    shown = await look(client, id_of(url))
    assert (shown["name"], shown["media_type"]) == ("é.png", "image/png")
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    assert await content_of(client, shown["url"]) == content
    assert await offset_of(client, url) == len(content)


async def test_a_recipe_comes_with_the_metadata(client: httpx.AsyncClient) -> None:
    recipe = '{"steps": {"hash": {"use": "image.placeholder"}}}'
    url = await begin(client, 30, **{"Upload-Metadata": told(filename="a.png", recipe=recipe)})
    await add(client, url, 0, PNG + b"x" * 22)
    shown = await done(client, id_of(url))
    assert (shown["status"], shown["problem"]["code"]) == ("failed", "bad-input")


async def test_what_came_before_a_cut_counts(
    client: httpx.AsyncClient, settings: Settings, runtime: Runtime
) -> None:
    content = PNG + os.urandom(50_000)
    url = await begin(client, len(content))
    key = client.headers["authorization"]
    with live_server(settings) as base:
        port = int(base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"PATCH {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {key}\r\n"
            f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: {len(content)}\r\n"
            "Content-Type: application/offset+octet-stream\r\n\r\n"
        )
        writer.write(head.encode() + content[:20_000])
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()
        async with asyncio.timeout(10):
            while await offset_of(client, url) == 0:
                await asyncio.sleep(0.05)
        offset = await offset_of(client, url)
        assert offset == 20_000
        answer = await add(client, url, offset, content[offset:])
        assert answer.status_code == 204, answer.text
    del reader
    assert (await look(client, id_of(url)))["sha256"] == hashlib.sha256(content).hexdigest()


async def test_bytes_at_another_offset_are_refused(client: httpx.AsyncClient) -> None:
    url = await begin(client, 100)
    assert (await add(client, url, 10, b"x" * 10)).status_code == 409
    assert (await add(client, url, 0, b"a" * 10)).status_code == 204
    assert (await add(client, url, 0, b"x" * 10)).status_code == 409
    assert await offset_of(client, url) == 10


async def test_the_length_may_be_said_later(client: httpx.AsyncClient) -> None:
    url = await begin(client, None)
    answer = await client.head(url, headers=V)
    assert answer.headers["upload-defer-length"] == "1"
    assert "upload-length" not in answer.headers
    assert (await add(client, url, 0, CSV)).status_code == 204
    answer = await add(client, url, len(CSV), b"1,2\n", **{"Upload-Length": str(len(CSV) + 4)})
    assert answer.status_code == 204, answer.text
    assert (await look(client, id_of(url)))["size_bytes"] == len(CSV) + 4


async def test_a_length_is_said_once(client: httpx.AsyncClient) -> None:
    url = await begin(client, None)
    first = await add(client, url, 0, b"a,b\n", **{"Upload-Length": "100"})
    assert first.status_code == 204
    answer = await add(client, url, 4, b"1,2\n", **{"Upload-Length": "200"})
    assert answer.status_code == 422


async def test_the_first_bytes_may_come_with_the_beginning(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/files/tus",
        content=CSV,
        headers={**BYTES, "Upload-Length": str(len(CSV) * 2), "Upload-Metadata": "is_draft"},
    )
    assert answer.status_code == 201
    assert answer.headers["upload-offset"] == str(len(CSV))
    url = answer.headers["location"]
    head = await client.head(url, headers=V)
    assert head.headers["upload-metadata"] == "is_draft"
    assert (await add(client, url, len(CSV), CSV)).status_code == 204
    assert (await look(client, id_of(url)))["size_bytes"] == 2 * len(CSV)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_bytes_that_were_changed_on_the_way_are_not_kept(
    client: httpx.AsyncClient, algorithm: str
) -> None:
    url = await begin(client, len(CSV))
    digest = base64.b64encode(hashlib.new(algorithm, CSV).digest()).decode()
    checksum = {"Upload-Checksum": f"{algorithm} {digest}"}
    changed = CSV[:-1] + b"!"
    answer = await add(client, url, 0, changed, **checksum)
    assert answer.status_code == 460
    assert await offset_of(client, url) == 0
    assert (await add(client, url, 0, CSV, **checksum)).status_code == 204
    assert (await look(client, id_of(url)))["size_bytes"] == len(CSV)


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1", "sha1 ???", "sha1 AAAA", ""])
async def test_a_checksum_that_cannot_be_checked_is_refused(
    client: httpx.AsyncClient, checksum: str
) -> None:
    url = await begin(client, 100)
    answer = await add(client, url, 0, CSV, **{"Upload-Checksum": checksum})
    assert answer.status_code == 400
    assert await offset_of(client, url) == 0


async def test_an_upload_can_be_ended(client: httpx.AsyncClient) -> None:
    url = await begin(client, 100)
    await add(client, url, 0, b"a,b\n")
    before = (await client.get("/api/v1/files/usage")).json()
    assert before["reserved_bytes"] == 100
    assert (await client.delete(url, headers=V)).status_code == 204
    assert (await client.head(url, headers=V)).status_code == 404
    assert (await add(client, url, 4, b"x")).status_code == 404
    assert (await client.get("/api/v1/files/usage")).json()["reserved_bytes"] == 0


async def test_parts_are_put_together(client: httpx.AsyncClient) -> None:
    parts = [b"a,b\n1,2\n", b"3,4\n", b"5,6\n" * 1000]
    urls: list[str] = []
    for part in parts:
        url = await begin(client, len(part), **{"Upload-Concat": "partial"})
        assert (await add(client, url, 0, part)).status_code == 204
        assert (await client.head(url, headers=V)).headers["upload-concat"] == "partial"
        assert (await client.get(f"/api/v1/files/{id_of(url)}")).status_code == 404
        urls.append(url)
    answer = await client.post(
        "/api/v1/files/tus",
        headers={
            **V,
            "Upload-Concat": f"final;{' '.join(urls)}",
            "Upload-Metadata": told(filename="whole.csv"),
        },
    )
    assert answer.status_code == 201, answer.text
    head = await client.head(answer.headers["location"], headers=V)
    assert head.headers["upload-concat"].startswith("final;/api/v1/files/tus/fil_")
    assert head.headers["upload-length"] == str(sum(map(len, parts)))
    shown = await look(client, id_of(answer.headers["location"]))
    assert await content_of(client, shown["url"]) == b"".join(parts)
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (shown["size_bytes"], 0)


async def test_an_unfinished_part_cannot_be_put_together(client: httpx.AsyncClient) -> None:
    url = await begin(client, 10, **{"Upload-Concat": "partial"})
    final = {**V, "Upload-Concat": f"final;{url}"}
    answer = await client.post("/api/v1/files/tus", headers=final)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload-unfinished")


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Length": "-5"}, {"Upload-Length": "x"}, {"Upload-Length": "1e3"}, {},
        {"Upload-Length": "5", "Upload-Defer-Length": "1"}, {"Upload-Defer-Length": "2"},
        {"Upload-Length": "5", "Upload-Metadata": "filename ???"},
        {"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="},
        {"Upload-Length": "5", "Upload-Metadata": "a " + "YWFh" * 2000},
        {"Upload-Length": "5", "Upload-Concat": "else"}, {"Upload-Concat": "final;"},
        {"Upload-Length": "0"}, {"Upload-Length": "²"},
    ],
)  # fmt: skip
async def test_headers_that_lie_begin_nothing(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    sent = [(name.encode(), value.encode()) for name, value in {**V, **headers}.items()]
    answer = await client.post("/api/v1/files/tus", headers=sent)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith("header.upload-")


@pytest.mark.parametrize("length", [10**9 * 6, 10**18 - 1])
async def test_a_length_over_the_limit_begins_nothing(
    client: httpx.AsyncClient, length: int
) -> None:
    answer = await client.post("/api/v1/files/tus", headers={**V, "Upload-Length": str(length)})
    assert (answer.status_code, answer.json()["code"]) == (413, "file-too-large")


async def test_more_bytes_than_announced_are_refused(client: httpx.AsyncClient) -> None:
    url = await begin(client, 10)
    answer = await add(client, url, 0, b"a,b\n" * 10)
    assert answer.status_code == 413
    assert await offset_of(client, url) == 0


async def test_another_version_is_refused(client: httpx.AsyncClient) -> None:
    for version in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = await client.post("/api/v1/files/tus", headers={**version, "Upload-Length": "5"})
        assert answer.status_code == 412
        assert answer.headers["tus-version"] == "1.0.0"


async def test_another_media_type_is_refused(client: httpx.AsyncClient) -> None:
    url = await begin(client, 10)
    answer = await client.patch(
        url, content=b"x", headers={**V, "Upload-Offset": "0", "Content-Type": "text/plain"}
    )
    assert answer.status_code == 415


async def test_a_type_that_is_not_taken_ends_the_upload(client: httpx.AsyncClient) -> None:
    content = b"MZ" + bytes(98)
    url = await begin(client, len(content), **{"Upload-Metadata": told(filename="photo.jpg")})
    answer = await add(client, url, 0, content)
    assert (answer.status_code, answer.json()["code"]) == (422, "type-not-allowed")
    assert (await client.head(url, headers=V)).status_code == 404
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (0, 0)


async def test_of_64_who_race_at_one_offset_one_is_heard_at_a_time(
    client: httpx.AsyncClient,
) -> None:
    length = 64 * 10
    url = await begin(client, length)
    contents = [bytes([65 + number % 26]) * 10 for number in range(64)]
    async with asyncio.TaskGroup() as group:
        racing = [group.create_task(add(client, url, 0, content)) for content in contents]
    statuses = [task.result().status_code for task in racing]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423}
    assert await offset_of(client, url) == 10
    winner = contents[statuses.index(204)]
    assert (await add(client, url, 10, b"x" * (length - 10))).status_code == 204
    shown = await look(client, id_of(url))
    assert (await content_of(client, shown["url"]))[:10] == winner


async def test_a_new_request_takes_over_from_a_connection_that_says_nothing(
    client: httpx.AsyncClient,
) -> None:
    url = await begin(client, 20)
    may_end = asyncio.Event()

    async def hang() -> AsyncGenerator[bytes]:
        yield b"a,b\n"
        await may_end.wait()
        yield b"old!"

    async with asyncio.TaskGroup() as group:
        dead = group.create_task(add(client, url, 0, hang()))
        await asyncio.sleep(0.3)
        alive = await add(client, url, 0, b"c,d\n" * 5)
        assert alive.status_code == 204, alive.text
        may_end.set()
    assert dead.result().status_code in {409, 423}
    shown = await look(client, id_of(url))
    assert await content_of(client, shown["url"]) == b"c,d\n" * 5
