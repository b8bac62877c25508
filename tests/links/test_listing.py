"""Finding links again."""

import asyncio

import httpx
import pytest

from posthouse.kernel.search import pattern
from posthouse.links.store import links as store
from posthouse.runtime import Runtime
from tests.make import Maker


async def make_links(client: httpx.AsyncClient, *titles: str) -> list[str]:
    ids: list[str] = []
    for title in titles:
        body = {"url": "https://example.com/", "title": title}
        ids.append((await client.post("/api/v1/links", json=body)).json()["id"])
    return ids


async def walk(client: httpx.AsyncClient, **params: object) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        query = {**params, "cursor": cursor} if cursor else params
        page = (await client.get("/api/v1/links", params=query)).json()  # type: ignore[arg-type]
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_pages_show_every_link_once(client: httpx.AsyncClient) -> None:
    made = await make_links(client, *[f"t{number}" for number in range(7)])
    assert await walk(client, limit=3) == made[::-1]
    # The upward list hides what a transaction still open elsewhere might come before.
    for _ in range(50):
        oldest = await walk(client, limit=3, sort="created_at")
        if len(oldest) == len(made):
            break
        await asyncio.sleep(0.1)
    assert oldest == made


async def test_a_page_links_to_the_next(client: httpx.AsyncClient) -> None:
    await make_links(client, "a", "b")
    first = await client.get("/api/v1/links?limit=1")
    target, _, relation = first.headers["link"].partition(">; ")
    assert relation == 'rel="next"'
    second = await client.get(target.removeprefix("<"))
    assert second.json()["items"][0]["title"] == "a"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("100%", ["100% off"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("OFF", ["100% off"]),
        ("%", ["100% off"]),
        ("' OR 1=1 --", []),
        ("zzz", []),
    ],
)
async def test_a_search_means_what_was_typed(
    client: httpx.AsyncClient, query: str, found: list[str]
) -> None:
    await make_links(client, "100% off", "a_b", "back\\slash", "axb")
    page = (await client.get("/api/v1/links", params={"q": query})).json()
    assert [item["title"] for item in page["items"]] == found


async def test_links_are_found_by_tags_and_state(client: httpx.AsyncClient) -> None:
    for tags in (["a"], ["a", "b"], []):
        await client.post("/api/v1/links", json={"url": "https://example.com/", "tags": tags})
    both = (await client.get("/api/v1/links?tag=a&tag=b")).json()["items"]
    assert [item["tags"] for item in both] == [["a", "b"]]
    await client.post(f"/api/v1/links/{both[0]['id']}/disable")
    disabled = (await client.get("/api/v1/links?state=disabled")).json()["items"]
    assert [item["id"] for item in disabled] == [both[0]["id"]]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=99999999999999999999", "cursor=abc", "sort=title",
     "state=gone", "cursor=", "q=" + "x" * 201],
)  # fmt: skip
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/links?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_a_cursor_works_only_for_its_own_list(client: httpx.AsyncClient, make: Maker) -> None:
    await make_links(client, "a", "b")
    cursor = (await client.get("/api/v1/links?limit=1")).json()["next_cursor"]
    other = await client.get("/api/v1/links", params={"limit": 1, "cursor": cursor, "q": "a"})
    assert (other.status_code, other.json()["code"]) == (422, "cursor-invalid")
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    assert (await client.get(f"/api/v1/links?cursor={flipped}")).status_code == 422
    stranger = {"Authorization": f"Bearer {await make.key()}"}
    foreign = await client.get(f"/api/v1/links?limit=1&cursor={cursor}", headers=stranger)
    assert foreign.status_code == 422


async def test_a_search_uses_the_trigram_index(runtime: Runtime, make: Maker) -> None:
    principal = await make.principal()
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "INSERT INTO links (id, workspace_id, domain_id, code, url, title, created_by) "
            "SELECT uuidv7(), $1, (SELECT id FROM domains WHERE host = 'go.example'), "
            "'bulk' || n, 'https://example.com/' || md5(n::text), md5(n::text), 'test' "
            "FROM generate_series(1, 20000) AS n",
            principal.workspace_id,
        )
    await make.analyze("links")
    async with runtime.parts.db.begin() as tx:
        await tx.execute(store._PLAN_EACH_TIME)
        arguments = (principal.workspace_id, pattern("c4ca4238"), None, None, None, 21)
        plan = "\n".join(row[0] for row in await tx.fetch("EXPLAIN " + store._NEWEST, *arguments))
    assert "ix_links_search" in plan


async def test_the_list_from_the_oldest_on_never_passes_a_link_that_commits_late(
    client: httpx.AsyncClient, runtime: Runtime, make: Maker
) -> None:
    key = client.headers["authorization"].removeprefix("Bearer ")
    principal = await runtime.authenticator.authenticate(key)
    may_commit, has_inserted = asyncio.Event(), asyncio.Event()

    async def commit_late() -> None:
        async with runtime.parts.db.begin():
            await make.link(principal, title="early")
            has_inserted.set()
            await may_commit.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(commit_late())
        await has_inserted.wait()
        await make_links(client, "late")
        # The later link waits behind the one that is not visible yet.
        assert await walk(client, sort="created_at") == []
        may_commit.set()
    for _ in range(50):
        seen = await walk(client, limit=1, sort="created_at")
        if len(seen) == 2:
            break
        await asyncio.sleep(0.1)
    titles = [(await client.get(f"/api/v1/links/{one}")).json()["title"] for one in seen]
    assert titles == ["early", "late"]
