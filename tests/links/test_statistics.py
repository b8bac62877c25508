"""What clicks add up to."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from posthouse.links.batches import ClickEvent
from posthouse.links.ingest import PostgresSink
from posthouse.links.model import Link
from posthouse.runtime import Runtime
from tests.make import Maker

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36"
)
NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


async def count(runtime: Runtime, link: Link, *events: dict[str, Any]) -> None:
    """Write clicks as the ingester does; each is an update of a plain human click at NOON."""
    made: list[ClickEvent] = []
    for event in events:
        at = event.get("at", NOON)
        made.append(
            ClickEvent(
                link_id=link.id.bytes,
                workspace_id=link.workspace_id.bytes,
                at_ms=int(at.timestamp() * 1000),
                is_head=event.get("is_head", False),
                is_prefetch=event.get("is_prefetch", False),
                visitor=event.get("visitor", 1),
                country=event.get("country", "AT"),
                agent=event.get("agent", CHROME),
                referrer=event.get("referrer", ""),
                campaign=event.get("campaign", ""),
            )
        )
    async with runtime.parts.db.begin() as tx:
        await PostgresSink().write(tx, [(0, made)])


@pytest.fixture
async def mine(client: httpx.AsyncClient, runtime: Runtime, make: Maker) -> Link:
    """A link of the client's own workspace."""
    key = client.headers["authorization"].removeprefix("Bearer ")
    return await make.link(await runtime.authenticator.authenticate(key))


async def stats(client: httpx.AsyncClient, link: Link, **params: Any) -> dict[str, Any]:
    wanted = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", **params}
    answer = await client.get(f"/api/v1/links/{shown(link)}/stats", params=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(link: Link) -> str:
    from posthouse.links.model import LINK

    return LINK.show(link.id)


async def test_classes_are_told_apart_and_head_is_no_click(
    client: httpx.AsyncClient, runtime: Runtime, mine: Link
) -> None:
    await count(
        runtime, mine,
        {}, {"visitor": 2}, {"agent": "curl/8.0"}, {"agent": "Slackbot-LinkExpanding 1.0"},
        {"is_prefetch": True}, {"is_head": True},
    )  # fmt: skip
    found = await stats(client, mine)
    assert found["clicks"] == 5
    assert found["classes"] == {"human": 2, "bot": 1, "preview": 1, "prefetch": 1, "head": 1}
    assert found["unique"] == 2
    assert (await stats(client, mine, **{"class": "bot"}))["clicks"] == 1
    by_class = (await stats(client, mine, by="class"))["groups"]
    assert {"values": ["human"], "clicks": 2} in by_class


async def test_every_facet_adds_up(client: httpx.AsyncClient, runtime: Runtime, mine: Link) -> None:
    await count(
        runtime, mine,
        {"referrer": "https://www.news.example/a?b", "country": "AT", "campaign": "spring"},
        {"referrer": "https://news.example/", "country": "DE"},
        {"country": "DE"},
    )  # fmt: skip
    for facet, expected in {
        "referrer": [["news.example", 2], ["", 1]],
        "country": [["DE", 2], ["AT", 1]],
        "device": [["desktop", 3]],
        "browser": [["Chrome", 3]],
        "os": [["Windows", 3]],
        "campaign": [["", 2], ["spring", 1]],
    }.items():
        groups = (await stats(client, mine, by=facet))["groups"]
        assert [[*one["values"], one["clicks"]] for one in groups] == expected, facet
    crossed = (await stats(client, mine, by="country,referrer"))["groups"]
    assert {"values": ["DE", "news.example"], "clicks": 1} in crossed


async def test_days_follow_the_zone_over_both_clock_changes(
    client: httpx.AsyncClient, runtime: Runtime, mine: Link
) -> None:
    # Vienna: 2026-03-29 has 23 hours, 2026-10-25 has 25.
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        start = datetime.fromisoformat(f"{day}T00:00:00+00:00") - timedelta(
            hours=1 if hours == 23 else 2
        )
        end = start + timedelta(hours=hours)
        moments = [start, end - timedelta(seconds=1)]
        await count(runtime, mine, *[{"at": moment} for moment in moments])
        span = {"from": start.isoformat(), "to": end.isoformat(), "tz": "Europe/Vienna"}
        days = await stats(client, mine, **span)
        assert [(one["at"], one["clicks"]) for one in days["series"]] == [
            (start.strftime("%Y-%m-%dT%H:%M:%SZ"), 2)
        ]
        by_hour = (await stats(client, mine, **span, interval="hour"))["series"]
        assert len(by_hour) == hours
        assert (by_hour[0]["clicks"], by_hour[-1]["clicks"]) == (1, 1)


async def test_zones_with_odd_offsets_add_up(
    client: httpx.AsyncClient, runtime: Runtime, mine: Link
) -> None:
    await count(runtime, mine, {"at": NOON}, {"at": NOON + timedelta(minutes=20)})
    for zone, counts in {"Asia/Kathmandu": [1, 1], "Asia/Kolkata": [2], "UTC": [2]}.items():
        found = await stats(
            client, mine, tz=zone, interval="hour",
            **{"from": "2026-03-29T12:00:00Z", "to": "2026-03-29T12:30:00Z"},
        )  # fmt: skip
        assert [one["clicks"] for one in found["series"]] == counts, zone


@pytest.mark.parametrize(
    "params",
    [
        {"tz": "Nowhere/Else"},
        {"tz": "../../etc/passwd"},
        {"tz": "UTC\x01"},
        {"by": "colour"},
        {"by": "country,device,os"},
        {"by": "country,country"},
        {"by": "class,country"},
        {"interval": "minute"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "yesterday"},
        {"from": "1900-01-01T00:00:00Z"},
        {"from": "1990-01-01T00:00:00Z", "interval": "hour"},
        {"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "by": "os,country"},
        {"class": "alien"},
    ],
)
async def test_a_question_without_an_answer_is_refused(
    client: httpx.AsyncClient, mine: Link, params: dict[str, str]
) -> None:
    answer = await client.get(f"/api/v1/links/{shown(mine)}/stats", params=params)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


async def test_what_the_headers_say_cannot_harm(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, mine: Link
) -> None:
    evil = '"><script>alert(1)</script>\u202e'
    headers = {
        "Referer": f"https://{evil}/",
        "User-Agent": evil,
    }
    encoded = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    await stranger.get(f"/{mine.code}", headers=encoded)
    for _ in range(100):
        found = (await client.get(f"/api/v1/links/{shown(mine)}/stats?by=referrer")).json()
        if found["clicks"]:
            break
        await asyncio.sleep(0.05)
    assert found["clicks"] == 1
    assert "<script>" not in found["groups"][0]["values"][0]
