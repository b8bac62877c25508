"""Texts that broke other programs break nothing here."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

NAUGHTY: list[str] = json.loads(
    (Path(__file__).parent.parent / "corpora" / "blns" / "blns.json").read_text("utf-8")
)

FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("/links", "url", {}),
    ("/links", "code", {"url": "https://example.com/"}),
    ("/links", "domain", {"url": "https://example.com/"}),
    ("/links", "title", {"url": "https://example.com/"}),
    ("/links", "notes", {"url": "https://example.com/"}),
    ("/links", "password", {"url": "https://example.com/"}),
    ("/links", "valid_until", {"url": "https://example.com/"}),
    ("/shorten", "url", {}),
    ("/keys", "name", {}),
    ("/users", "email", {"name": "A", "password": "correct horse battery"}),
    ("/users", "name", {"email": "@", "password": "correct horse battery"}),
    ("/recipients", "external_id", {}),
    ("/recipients", "name", {}),
    ("/recipients", "email", {}),
    ("/recipients", "phone", {}),
    ("/recipients", "locale", {}),
    ("/recipients", "timezone", {}),
    ("/suppressions", "address", {"channel": "email"}),
    ("/login", "username", {"password": "x"}),
]


@pytest.mark.parametrize(("path", "field", "rest"), FIELDS, ids=lambda one: str(one)[:12])
async def test_texts_that_broke_others_break_nothing_here(
    client: httpx.AsyncClient, path: str, field: str, rest: dict[str, Any]
) -> None:
    for text in NAUGHTY if path != "/login" else NAUGHTY[:25]:
        answer = await client.post(
            f"/api/v1{path}",
            content=json.dumps({**rest, field: text}),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in {201, 401, 409, 422, 429}, (text, answer.text)


async def test_such_texts_are_kept_and_shown_as_they_are(client: httpx.AsyncClient) -> None:
    for text in NAUGHTY:
        body = {"url": "https://example.com/", "notes": text}
        made = await client.post("/api/v1/links", json=body)
        if made.status_code == 201:
            assert made.json()["notes"] == text
    found = await client.get("/api/v1/links", params={"q": "example", "limit": 100})
    assert found.status_code == 200


@pytest.mark.parametrize("place", ["path", "query", "code"])
async def test_such_texts_in_an_address_find_nothing(client: httpx.AsyncClient, place: str) -> None:
    for text in NAUGHTY:
        if place == "path":
            answer = await client.get(f"/api/v1/links/{quoted(text)}")
        elif place == "query":
            answer = await client.get(f"/api/v1/links?q={quoted(text)}")
        else:
            answer = await client.get(f"/{quoted(text)}")
        assert answer.status_code in {200, 302, 400, 404, 405, 410, 422}, (text, answer.text)


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
