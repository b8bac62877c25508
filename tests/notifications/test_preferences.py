"""What recipients want, and that nothing is sent against it once they have said so."""

from typing import Any

import httpx
import pytest

from posthouse.kernel.edge import App
from posthouse.notifications.choices import ALL, allows
from posthouse.notifications.model import RECIPIENT, Channel
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.making import recipient
from tests.notifications.underway import answered_only_after, ended, sending


async def category(client: httpx.AsyncClient, key: str, **chosen: Any) -> httpx.Response:
    body = {"name": key.title(), **chosen}
    return await client.put(f"/api/v1/notification-categories/{key}", json=body)


async def person(client: httpx.AsyncClient) -> str:
    found: str = (await client.post("/api/v1/recipients", json={})).json()["id"]
    return f"/api/v1/recipients/{found}/preferences"


async def test_general_is_there_and_stays(client: httpx.AsyncClient) -> None:
    path = "/api/v1/notification-categories"
    assert [one["key"] for one in (await client.get(path)).json()["items"]] == ["general"]
    shown = await client.get(f"{path}/general")
    assert shown.json()["critical"] is False
    refused = await client.delete(f"{path}/general")
    assert (refused.status_code, refused.json()["code"]) == (409, "category-fixed")
    assert (await category(client, "general", critical=True)).status_code == 409
    named = await client.put(
        f"{path}/general", json={"name": "Everything"}, headers={"if-match": shown.headers["etag"]}
    )
    assert (named.status_code, named.json()["name"]) == (200, "Everything")
    assert [one["name"] for one in (await client.get(path)).json()["items"]] == ["Everything"]


async def test_a_category_is_made_changed_and_deleted(client: httpx.AsyncClient) -> None:
    made = await category(client, "news", doubts={"sms": "resend"})
    assert made.json()["doubts"] == {"email": "resend", "sms": "resend", "push": "resend"}
    path = "/api/v1/notification-categories/news"
    stale = await client.put(path, json={"name": "x"}, headers={"if-match": '"v7"'})
    assert stale.status_code == 412
    assert (await client.get(path)).headers["etag"] == made.headers["etag"]
    assert (await client.delete(path, headers={"if-match": '"v7"'})).status_code == 412
    assert [(await client.delete(path)).status_code for _ in range(2)] == [204, 404]


async def test_categories_are_paged_with_general_in_its_place(client: httpx.AsyncClient) -> None:
    for key in ("alerts", "news", "offers"):
        await category(client, key)
    keys: list[str] = []
    cursor = None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/v1/notification-categories", params=query)).json()
        keys += [one["key"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert keys == ["alerts", "general", "news", "offers"]


async def test_all_is_on_until_somebody_says_otherwise(client: httpx.AsyncClient) -> None:
    path = await person(client)
    shown = await client.get(path)
    assert shown.json() == {"stopped": False, "quiet_hours": None, "categories": {}}
    await category(client, "news")
    wanted = {
        "stopped": True,
        "quiet_hours": {"from": "22:00", "until": "07:00"},
        "categories": {"news": {"all": False, "email": True}, "general": {"sms": False}},
    }
    saved = await client.put(path, json=wanted, headers={"if-match": shown.headers["etag"]})
    assert (saved.status_code, saved.json()) == (200, wanted)
    assert (await client.get(path)).json() == wanted
    stale = await client.put(path, json=wanted, headers={"if-match": shown.headers["etag"]})
    assert stale.status_code == 412
    assert (await client.put(path, json={})).json() == shown.json()


def test_a_channels_own_choice_goes_before_that_for_all() -> None:
    choices = {("news", ALL): False, ("news", "email"): True, ("ads", "sms"): False}
    seen = [allows(choices, key, channel) for key in ("news", "ads", "x") for channel in Channel]
    assert seen == [True, False, False, True, False, True, True, True, True]


async def test_what_is_critical_cannot_be_switched_off(client: httpx.AsyncClient) -> None:
    path = await person(client)
    await category(client, "security", critical=True)
    wanted = {"categories": {"security": {"email": False}, "nothing": {"all": True}}}
    answer = await client.put(path, json=wanted)
    assert answer.status_code == 422
    assert {(one["field"], one["code"]) for one in answer.json()["errors"]} == {
        ("body.categories.security.email", "critical-category"),
        ("body.categories.nothing.all", "unknown-category"),
    }
    fine = {"categories": {"security": {"email": True}}}
    assert (await client.put(path, json=fine)).status_code == 200


@pytest.mark.parametrize("bad", [{"stopped": "yes"}, {"categories": {"news": {"fax": True}}}, {"categories": {"news": 1}},  # noqa: E501
    {"categories": {"A b": {}}}, {"quiet_hours": {"from": "1", "until": "2"}}, {"x": 1}])  # fmt: skip  # noqa: E501
async def test_preferences_that_are_not_valid_are_refused(
    client: httpx.AsyncClient, bad: Any
) -> None:
    assert (await client.put(await person(client), json=bad)).status_code == 422


async def test_choices_outlive_their_category(client: httpx.AsyncClient) -> None:
    path = await person(client)
    await category(client, "news")
    await client.put(path, json={"categories": {"news": {"all": False}}})
    await client.delete("/api/v1/notification-categories/news")
    assert (await client.get(path)).json()["categories"] == {}
    await client.put(path, json={})
    await category(client, "news")
    assert (await client.get(path)).json()["categories"] == {"news": {"all": False}}


async def test_a_change_is_answered_when_nothing_against_it_is_under_way(
    app: App, make: Maker
) -> None:
    runtime, owner = make.runtime, await make.principal()
    somebody = await recipient(make, owner, email="ann@example.com")
    key = await make.key(workspace=owner.workspace_id)
    path = f"/api/v1/recipients/{RECIPIENT.show(somebody.id)}"

    async def consent() -> int | None:
        async with runtime.parts.db.read() as connection:
            found: int | None = await connection.fetchval(
                "SELECT consent FROM recipients WHERE id = $1", somebody.id
            )
        return found

    changes: list[tuple[str, str, Any]] = [
        ("PUT", f"{path}/preferences", {"stopped": True}),
        ("PATCH", path, {"email": "b@example.com"}),
        ("PUT", f"{path}/preferences", {"quiet_hours": {"from": "22:00", "until": "07:00"}}),
        ("DELETE", path, None),
    ]
    async with client_of(app, key) as client:
        for method, url, body in changes:
            under_way = await sending(runtime, owner.workspace_id, recipient_id=somebody.id)
            before = await consent()

            async def is_written(before: int | None = before) -> bool:
                return await consent() != before

            async def call(
                method: str = method, url: str = url, body: Any = body
            ) -> httpx.Response:
                return await client.request(method, url, json=body)

            answer = await answered_only_after(runtime, under_way, call, is_written)
            assert answer.status_code in {200, 204}, answer.text


async def test_a_message_to_somebody_else_holds_nobody_up(app: App, make: Maker) -> None:
    runtime, owner = make.runtime, await make.principal()
    somebody = await recipient(make, owner)
    other = await recipient(make, owner)
    under_way = await sending(runtime, owner.workspace_id, recipient_id=other.id)
    async with client_of(app, await make.key(workspace=owner.workspace_id)) as client:
        path = f"/api/v1/recipients/{RECIPIENT.show(somebody.id)}/preferences"
        assert (await client.put(path, json={"stopped": True})).status_code == 200
    await ended(runtime, under_way)


SUPPRESSIONS = "/api/v1/suppressions"


async def test_an_address_is_suppressed_listed_and_used_again(client: httpx.AsyncClient) -> None:
    email = {"channel": "email", "address": "Ann@Example.com"}
    sms = {"channel": "sms", "address": "+49 30 901820", "category": "news", "reason": "opted-out"}
    first = await client.post(SUPPRESSIONS, json=email)
    assert first.status_code == 201
    shown = first.json()
    assert (shown["address"], shown["category"], shown["reason"]) == (
        "ann@example.com", None, "manual",
    )  # fmt: skip
    again = await client.post(SUPPRESSIONS, json={**email, "reason": "complained"})
    assert again.json() == shown | {"reason": "complained"}
    await client.post(SUPPRESSIONS, json=sms)
    for query, count in (
        ({}, 2),
        ({"channel": "sms"}, 1),
        ({"reason": "complained"}, 1),
        ({"address": "ANN@example.com"}, 1),
        ({"address": "+4930901820"}, 1),
        ({"channel": "push"}, 0),
    ):
        listed = (await client.get(SUPPRESSIONS, params=query)).json()["items"]
        assert len(listed) == count, query
    page = (await client.get(SUPPRESSIONS, params={"limit": 1})).json()
    more = {"limit": 1, "cursor": page["next_cursor"]}
    rest = (await client.get(SUPPRESSIONS, params=more)).json()["items"]
    assert rest[0]["channel"] == "sms"
    remove = f"{SUPPRESSIONS}/remove"
    codes = [(await client.post(remove, json=email)).status_code for _ in range(2)]
    assert codes == [204, 404]


@pytest.mark.parametrize("bad", [{}, {"channel": "email", "address": "ann"}, {"channel": "sms", "address": "123"},  # noqa: E501
    {"channel": "email", "address": ""}, {"channel": "fax", "address": "x"}, {"channel": "email", "address": "@"},  # noqa: E501
    {"channel": "email", "address": "a@b.example", "reason": "x"}, {"channel": "push", "address": "\x00"}])  # fmt: skip  # noqa: E501
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, bad: Any) -> None:
    assert (await client.post(SUPPRESSIONS, json=bad)).status_code == 422


async def test_a_suppression_is_answered_when_nothing_to_the_address_is_under_way(
    app: App, make: Maker
) -> None:
    runtime, owner = make.runtime, await make.workspace()
    under_way = await sending(runtime, owner, address="Ann@example.com")
    async with client_of(app, await make.key(workspace=owner)) as client:

        async def call() -> httpx.Response:
            body = {"channel": "email", "address": "ann@example.com"}
            return await client.post(SUPPRESSIONS, json=body)

        async def is_written() -> bool:
            return bool((await client.get(SUPPRESSIONS)).json()["items"])

        answer = await answered_only_after(runtime, under_way, call, is_written)
    assert answer.status_code == 201
