"""Logs are structured, and hold nothing that somebody sent."""

import json
from pathlib import Path

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.kernel.logs import describe
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.live import live_server
from tests.make import Maker

CANARIES = 60


def canary(number: int) -> str:
    return f"canary{number:04d}{ids.fresh().hex[-8:]}"


async def test_what_callers_send_is_not_in_the_logs(
    settings: Settings, runtime: Runtime, make: Maker, tmp_path: Path
) -> None:
    key = await make.key()
    log = tmp_path / "serve.log"
    sent: list[str] = [key]

    def fresh() -> str:
        sent.append(canary(len(sent)))
        return sent[-1]

    with live_server(settings, log=log, POSTHOUSE_LOG_LEVEL="debug") as url:
        async with httpx.AsyncClient(base_url=url) as client:
            headers = {"Authorization": f"Bearer {key}"}
            for _ in range(CANARIES):
                sensitive = {
                    "User-Agent": fresh(),
                    "Referer": f"https://{fresh()}.example/",
                    "X-Forwarded-For": fresh(),
                    "Cookie": f"a={fresh()}",
                }
                body = {"url": f"https://{fresh()}.example/", "title": fresh(), "password": fresh()}
                made = await client.post(
                    "/api/v1/links", json=body, headers={**headers, **sensitive}
                )
                assert made.status_code == 201
                await client.get(f"/api/v1/links?q={fresh()}", headers={**headers, **sensitive})
                await client.get(f"/{made.json()['code']}?x={fresh()}", headers=sensitive)
                await client.post("/api/v1/links", content=fresh(), headers=headers)
                await client.get("/api/v1/links", headers={"Authorization": f"Bearer {fresh()}"})
                await client.post(
                    "/api/v1/login", json={"username": f"{fresh()}@a.example", "password": fresh()}
                )
    text = log.read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert sum(line["message"] == "request" for line in lines) >= CANARIES
    assert [one for one in sent if one in text] == []
    assert all(line.get("trace_id") for line in lines if line["message"] == "request")


def fail() -> None:
    raise ValueError("secret words")


def test_an_exception_is_described_without_its_words() -> None:
    with pytest.raises(ValueError, match="secret") as raised:
        fail()
    said = describe(raised.value)
    assert said["type"] == "builtins.ValueError"
    assert "secret" not in json.dumps(said)
    assert said["at"][-1].endswith(" fail")
