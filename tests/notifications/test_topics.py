"""Topics and who is in them."""

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.notifications.model import RECIPIENT
from tests.make import Maker
from tests.notifications.making import recipient


async def put(client: httpx.AsyncClient, key: str, name: str = "News") -> httpx.Response:
    return await client.put(f"/api/v1/topics/{key}", json={"name": name})


async def people(client: httpx.AsyncClient, count: int) -> list[str]:
    answers = [await client.put(f"/api/v1/recipients/u-{n}", json={}) for n in range(count)]
    found: list[str] = [one.json()["id"] for one in answers]
    return found


async def test_a_topic_is_made_named_and_deleted(client: httpx.AsyncClient) -> None:
    made = await put(client, "news")
    assert (made.status_code, made.json()["key"], made.json()["name"]) == (200, "news", "News")
    renamed = await put(client, "news", "All news")
    assert renamed.json() == made.json() | {"name": "All news"}
    assert (await client.get("/api/v1/topics/news")).json() == renamed.json()
    codes = [(await client.delete("/api/v1/topics/news")).status_code for _ in range(2)]
    assert codes == [204, 404]


async def test_topics_are_listed_by_key(client: httpx.AsyncClient) -> None:
    for key in ("offers", "alerts", "news"):
        await put(client, key)
    first = (await client.get("/api/v1/topics", params={"limit": 2})).json()
    assert [one["key"] for one in first["items"]] == ["alerts", "news"]
    rest = await client.get("/api/v1/topics", params={"limit": 2, "cursor": first["next_cursor"]})
    assert [one["key"] for one in rest.json()["items"]] == ["offers"]


async def test_members_come_and_go_by_either_id(client: httpx.AsyncClient) -> None:
    await put(client, "news")
    first, second, third = await people(client, 3)
    path = "/api/v1/topics/news/members"
    added = await client.post(path, json={"recipients": [first, "u-1", first]})
    assert added.json() == {"changed": 2}
    again = await client.post(path, json={"recipients": [first, third]})
    assert again.json() == {"changed": 1}
    listed = (await client.get(path)).json()["items"]
    assert [one["id"] for one in listed] == [first, second, third]
    removed = await client.post(f"{path}/remove", json={"recipients": ["u-0", third]})
    assert removed.json() == {"changed": 2}
    page = (await client.get(path, params={"limit": 1})).json()
    assert ([one["external_id"] for one in page["items"]], page["next_cursor"]) == (["u-1"], None)


async def test_members_that_are_unknown_are_named_and_nobody_is_added(
    client: httpx.AsyncClient, make: Maker
) -> None:
    await put(client, "news")
    (known,) = await people(client, 1)
    foreign = RECIPIENT.show((await recipient(make)).id)
    wanted = [known, foreign, "nobody", "rcp_x", RECIPIENT.show(ids.fresh())]
    for path in ("members", "members/remove"):
        answer = await client.post(f"/api/v1/topics/news/{path}", json={"recipients": wanted})
        assert (answer.status_code, answer.json()["code"]) == (422, "members-unknown")
        named = [one["field"] for one in answer.json()["errors"]]
        assert named == [f"body.recipients.{place}" for place in (1, 2, 3, 4)]
    assert (await client.get("/api/v1/topics/news/members")).json()["items"] == []


async def test_at_most_a_thousand_at_once(client: httpx.AsyncClient) -> None:
    await put(client, "news")
    for bad in ([], ["u"] * 1001, [""], [5], "u"):
        answer = await client.post("/api/v1/topics/news/members", json={"recipients": bad})
        assert answer.status_code == 422


@pytest.mark.parametrize("key", ["News", "a b", "-a", "a" * 64, "ä"])
async def test_a_key_is_plain(client: httpx.AsyncClient, key: str) -> None:
    assert (await put(client, key)).status_code == 422
