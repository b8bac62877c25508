"""The main job: a URL goes in, a short link comes out, following it leads there and counts."""

import asyncio

import httpx


async def test_a_link_is_made_followed_and_counted(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/v1/shorten", json={"url": "https://example.com/a?b=c#d"})
    assert made.status_code == 201, made.text
    link = made.json()
    assert set(link) == {"id", "code", "short_url", "url"}
    assert made.headers["location"] == f"/api/v1/links/{link['id']}"

    for _ in range(5):
        followed = await client.get(f"/{link['code']}")
        assert followed.status_code == 302
        assert followed.headers["location"] == "https://example.com/a?b=c#d"
        assert followed.headers["cache-control"] == "private, max-age=0"

    assert await clicks_of(client, link["id"], 5) == 5


async def clicks_of(client: httpx.AsyncClient, link_id: str, expected: int) -> int:
    """Wait until at least `expected` clicks are counted, for ten seconds at most."""
    for _ in range(100):
        stats = (await client.get(f"/api/v1/links/{link_id}/stats")).json()
        if stats["clicks"] >= expected:
            return int(stats["clicks"])
        await asyncio.sleep(0.1)
    return int(stats["clicks"])
