"""A POST with an Idempotency-Key happens once."""

import asyncio
from collections import Counter

import httpx
import pytest

from posthouse.kernel import ids

BODY = {"url": "https://example.com/"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(ids.fresh())}


async def links_of(client: httpx.AsyncClient) -> int:
    return len((await client.get("/api/v1/links?limit=100")).json()["items"])


async def test_a_repetition_gets_the_same_bytes(client: httpx.AsyncClient) -> None:
    headers = key()
    first = await client.post("/api/v1/links", json=BODY, headers=headers)
    again = await client.post("/api/v1/links", json=BODY, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    for name in ("location", "etag", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert await links_of(client) == 1


async def test_of_64_racing_repetitions_one_makes_a_row(client: httpx.AsyncClient) -> None:
    headers = key()

    async def ask() -> int:
        return (await client.post("/api/v1/shorten", json=BODY, headers=headers)).status_code

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(64)]
    counts = Counter(task.result() for task in asked)
    assert set(counts) <= {201, 409}
    assert counts[201] >= 1
    assert await links_of(client) == 1
    assert (await client.post("/api/v1/shorten", json=BODY, headers=headers)).status_code == 201


async def test_another_body_under_the_key_is_refused(client: httpx.AsyncClient) -> None:
    headers = key()
    await client.post("/api/v1/links", json=BODY, headers=headers)
    other = await client.post("/api/v1/links", json={"url": "https://o.example/"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    elsewhere = await client.post("/api/v1/shorten", json=BODY, headers=headers)
    assert elsewhere.status_code == 422


async def test_an_error_is_not_kept(client: httpx.AsyncClient) -> None:
    headers = key()
    bad = await client.post("/api/v1/links", json={"url": "x"}, headers=headers)
    assert bad.status_code == 422
    good = await client.post("/api/v1/links", json=BODY, headers=headers)
    assert good.status_code == 201


async def test_two_callers_may_use_one_key(client: httpx.AsyncClient, make) -> None:
    headers = key()
    await client.post("/api/v1/links", json=BODY, headers=headers)
    other = {**headers, "Authorization": f"Bearer {await make.key()}"}
    answer = await client.post("/api/v1/links", json=BODY, headers=other)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("bad", ["", "x" * 256, "tab\there"])
async def test_a_key_must_be_usable(client: httpx.AsyncClient, bad: str) -> None:
    answer = await client.post("/api/v1/links", json=BODY, headers={"Idempotency-Key": bad})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-invalid")
