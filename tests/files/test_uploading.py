"""A file goes in by a form or as a body, is counted and looked at, and comes back whole."""

import hashlib
import os

import httpx

PNG = b"\x89PNG\r\n\x1a\n"


async def test_a_form_is_stored_and_comes_back(client: httpx.AsyncClient) -> None:
    content = b"a,b\n1,2\n" * 1000
    answer = await client.post(
        "/api/v1/files/upload", files={"file": ("räte.csv", content, "text/csv")}
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "completed"
    shown = (await client.get(answer.headers["location"])).json()
    assert shown["name"] == "räte.csv"
    assert shown["media_type"] == "text/csv"
    assert shown["size_bytes"] == len(content)
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    assert shown["results"] == []
    got = await client.get(shown["url"].replace("http://127.0.0.1:8000", ""))
    assert got.status_code == 200, got.text
    assert got.content == content


async def test_a_body_is_stored(client: httpx.AsyncClient) -> None:
    content = PNG + os.urandom(3_000_000)
    answer = await client.put("/api/v1/files/upload?name=x.png", content=content)
    assert answer.status_code == 202, answer.text
    shown = (await client.get(answer.headers["location"])).json()
    assert shown["media_type"] == "image/png"
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
