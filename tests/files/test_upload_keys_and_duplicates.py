"""One key is one job, the same bytes are stored once, and what is over is gone."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx
import pytest

from posthouse.files.sweeping import Sweeping
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.files.sending import CSV, PNG, UPLOAD, content_of, left_of, look, objects, send
from tests.make import Maker


async def test_the_same_key_and_file_is_the_same_job(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "same"}
    answers = [
        await client.post(UPLOAD, files={"file": ("a.csv", CSV)}, headers=key) for _ in range(3)
    ]
    assert [one.status_code for one in answers] == [202, 202, 202]
    assert len({one.json()["job_id"] for one in answers}) == 1
    replayed = [one.headers.get("idempotency-replayed") for one in answers]
    assert replayed == [None, "true", "true"]
    assert len((await client.get("/api/v1/files")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("content", "name", "data"),
    [
        (CSV + b"1,2\n", "a.csv", {}),
        (CSV, "b.csv", {}),
        (CSV, "a.csv", {"expires_in": "60"}),
        (CSV, "a.csv", {"recipe": json.dumps({"steps": {"x": {"use": "table.inspect"}}})}),
    ],
)
async def test_the_same_key_and_another_request_is_refused(
    client: httpx.AsyncClient, runtime: Runtime, content: bytes, name: str, data: Any
) -> None:
    key = {"Idempotency-Key": "taken"}
    await send(client, CSV, "a.csv", **key)
    answer = await client.post(UPLOAD, files={"file": (name, content)}, data=data, headers=key)
    assert answer.status_code == 422, answer.text
    left = await left_of(client, runtime)
    assert (left["files"], left["used"], left["reserved"]) == (1, len(CSV), 0)


async def test_a_key_in_use_is_told_so(client: httpx.AsyncClient) -> None:
    key, may_end, has_begun = {"Idempotency-Key": "busy"}, asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncGenerator[bytes]:
        yield CSV
        has_begun.set()
        await may_end.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.put(UPLOAD, content=slow(), headers=key))
        await has_begun.wait()
        second = await client.put(UPLOAD, content=CSV, headers=key)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency-key-in-flight")
        may_end.set()
    assert first.result().status_code == 202
    third = await client.put(UPLOAD, content=CSV, headers=key)
    assert third.json()["job_id"] == first.result().json()["job_id"]


async def test_a_key_whose_request_failed_is_free_again(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "failed"}
    assert (await client.put(UPLOAD, content=b"MZ" + bytes(60), headers=key)).status_code == 422
    assert (await client.put(UPLOAD, content=CSV, headers=key)).status_code == 202


async def test_of_16_with_one_key_at_once_one_file_comes(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "race"}
    async with asyncio.TaskGroup() as group:
        racing = [
            group.create_task(client.put(UPLOAD, content=CSV, headers=key)) for _ in range(16)
        ]
    answers = [task.result() for task in racing]
    assert {one.status_code for one in answers} <= {202, 409}
    assert len({one.json()["job_id"] for one in answers if one.status_code == 202}) == 1
    assert len((await client.get("/api/v1/files")).json()["items"]) == 1


async def test_a_key_means_nothing_to_another_workspace(
    client: httpx.AsyncClient, make: Maker, runtime: Runtime, app: Any
) -> None:
    async with client_of(app, await make.key()) as other:
        first = await send(client, CSV, **{"Idempotency-Key": "ours"})
        answer = await other.post(
            UPLOAD, files={"file": ("b.csv", CSV * 2)}, headers={"Idempotency-Key": "ours"}
        )
        assert answer.status_code == 202
        assert "idempotency-replayed" not in answer.headers
        assert (await other.get(f"/api/v1/files/{first}")).status_code == 404


async def test_the_same_bytes_are_stored_once_and_outlive_one_of_two(
    client: httpx.AsyncClient, make: Maker, runtime: Runtime, app: Any
) -> None:
    sweeping = cast("Sweeping", runtime.services[Sweeping])
    first, second = await send(client, CSV, "a.csv"), await send(client, CSV, "b.csv")
    assert first != second
    assert (await client.get("/api/v1/files/usage")).json()["used_bytes"] == len(CSV)
    async with client_of(app, await make.key()) as other:
        await send(other, CSV)
        assert (await other.get("/api/v1/files/usage")).json()["used_bytes"] == len(CSV)
        for gone, kept in ((first, second),):
            assert (await client.delete(f"/api/v1/files/{gone}")).status_code == 204
            await sweeping.sweep()
            assert await content_of(client, (await look(client, kept))["url"]) == CSV
        assert (await client.delete(f"/api/v1/files/{second}")).status_code == 204
        await sweeping.sweep()
        assert (await client.get("/api/v1/files/usage")).json()["used_bytes"] == 0
        (theirs,) = (await other.get("/api/v1/files")).json()["items"]
        assert await content_of(other, theirs["url"]) == CSV


async def test_a_file_whose_time_is_over_is_gone_with_its_bytes(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    sweeping = cast("Sweeping", runtime.services[Sweeping])
    before = await objects(runtime)
    short = await client.put(f"{UPLOAD}?expires_in=1", content=PNG + b"short-lived")
    long = await client.put(f"{UPLOAD}?expires_in=3600", content=PNG + b"long-lived")
    await sweeping.sweep()
    assert (await client.get(long.headers["location"])).status_code == 200
    async with asyncio.timeout(10):
        while (await client.get(short.headers["location"])).status_code != 404:
            await asyncio.sleep(0.2)
            await sweeping.sweep()
    assert (await client.get(long.headers["location"])).status_code == 200
    assert len(await objects(runtime) - before) == 1
