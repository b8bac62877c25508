"""Changing links."""

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

URL = "https://example.com/"


async def made(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/api/v1/links", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_link_keeps_all_that_it_was_given(client: httpx.AsyncClient) -> None:
    given = {
        "title": "Spring  offer",
        "notes": "line\nline",
        "tags": ["b", "a", "a"],
        "utm": {"source": "mail"},
        "redirect_status": 307,
        "forwards_query": True,
        "valid_from": "2026-01-01T00:00:00+02:00",
        "valid_until": "2099-01-01T00:00:00Z",
        "max_clicks": 5,
        "password": "open sesame",
    }
    link = await made(client, **given)
    assert link["tags"] == ["a", "b"]
    assert link["valid_from"] == "2025-12-31T22:00:00Z"
    assert link["has_password"] is True
    assert "password" not in link
    read = await client.get(f"/api/v1/links/{link['id']}")
    assert read.json() == link
    assert read.headers["etag"] == '"v1"'


async def test_what_is_absent_stays_and_null_clears(client: httpx.AsyncClient) -> None:
    link = await made(client, title="A", max_clicks=5, password="open sesame")
    path = f"/api/v1/links/{link['id']}"
    changed = (await client.patch(path, json={"max_clicks": None, "password": None})).json()
    assert (changed["max_clicks"], changed["has_password"], changed["title"]) == (None, False, "A")
    assert changed["version"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": None},
        {"url": None},
        {"url": ""},
        {"nmae": "x"},
        {"id": "lnk_0"},
        {"workspace_id": "x"},
        {"max_clicks": 0},
        {"max_clicks": 2**63},
        {"max_clicks": True},
        {"max_clicks": "5"},
        {"redirect_status": 200},
        {"tags": ["x"] * 21},
        {"tags": [" "]},
        {"title": "x" * 201},
        {"title": "a\x00b"},
        {"title": "\ud800"},
        {"valid_from": "2026-01-01"},
        {"valid_from": "2026-01-01T00:00:00"},
        {"valid_from": "9999-01-01T00:00:00Z"},
        {"valid_from": "2027-01-01T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"},
        {"valid_until": "2020-01-01T00:00:00Z"},
        {"password": "abc"},
    ],
)
async def test_a_bad_change_changes_nothing(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    link = await made(client, valid_from="2025-01-01T00:00:00Z")
    path = f"/api/v1/links/{link['id']}"
    answer = await client.patch(
        path,
        content=json.dumps(body),  # escapes lone surrogates, which httpx cannot send
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]
    assert (await client.get(path)).json() == link


async def test_who_edits_what_has_changed_is_told(client: httpx.AsyncClient) -> None:
    link = await made(client)
    path = f"/api/v1/links/{link['id']}"
    first = await client.patch(path, json={"title": "1"}, headers={"If-Match": '"v1"'})
    second = await client.patch(path, json={"title": "2"}, headers={"If-Match": '"v1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"v2"')
    assert (second.status_code, second.json()["code"]) == (412, "precondition-failed")
    odd = await client.patch(path, json={"title": "3"}, headers={"If-Match": "nonsense"})
    assert odd.status_code == 422


async def test_of_32_racing_edits_none_is_lost(client: httpx.AsyncClient) -> None:
    link = await made(client)
    path = f"/api/v1/links/{link['id']}"

    async def edit(number: int) -> int:
        answer = await client.patch(path, json={"title": f"{number}"}, headers={"If-Match": '"v1"'})
        return answer.status_code

    async with asyncio.TaskGroup() as group:
        edits = [group.create_task(edit(number)) for number in range(32)]
    assert Counter(task.result() for task in edits) == {200: 1, 412: 31}


async def test_a_deleted_link_can_be_restored(client: httpx.AsyncClient) -> None:
    link = await made(client)
    path = f"/api/v1/links/{link['id']}"
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).json()["state"] == "deleted"
    assert (await client.patch(path, json={"title": "x"})).status_code == 404
    assert (await client.get("/api/v1/links")).json()["items"] == []
    restored = await client.post(f"{path}/restore")
    assert restored.json()["state"] == "active"


@pytest.mark.parametrize("kind", ["svg", "png"])
async def test_a_link_has_a_qr_code(client: httpx.AsyncClient, kind: str) -> None:
    link = await made(client)
    answer = await client.get(f"/api/v1/links/{link['id']}/qr", params={"format": kind})
    start = {"svg": b"<?xml", "png": b"\x89PNG\r\n"}[kind]
    assert answer.content.startswith(start)
    assert answer.headers["content-type"].startswith("image/")


async def test_a_quick_link_takes_only_a_url(client: httpx.AsyncClient) -> None:
    refused = await client.post("/api/v1/shorten", json={"url": URL, "code": "mine"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0] == {
        "field": "body.code",
        "code": "unknown-field",
        "message": "Extra inputs are not permitted",
    }
