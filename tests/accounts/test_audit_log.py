"""Who did what: every change is written down, and only admins of the workspace read it."""

import httpx
import pytest

from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from tests.accounts.people import actions_of, add, caller_at
from tests.make import Maker


async def test_the_newest_is_first_and_pages_follow(client: httpx.AsyncClient) -> None:
    people = [await add(client) for _ in range(5)]
    first = (await client.get("/api/v1/audit", params={"limit": 3})).json()
    rest = (
        await client.get("/api/v1/audit", params={"limit": 3, "cursor": first["next_cursor"]})
    ).json()
    shown = [entry["subject"] for entry in first["items"] + rest["items"]]
    assert shown == [person.id for person in reversed(people)]
    assert rest["next_cursor"] is None


async def test_an_entry_has_these_fields(client: httpx.AsyncClient) -> None:
    me = (await client.get("/api/v1/me")).json()
    person = await add(client)
    (entry,) = await actions_of(client)
    assert set(entry) == {"id", "at", "actor", "action", "subject", "detail"}
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        me["id"],
        "user.made",
        person.id,
    )


async def test_one_action_can_be_asked_for(client: httpx.AsyncClient) -> None:
    await add(client)
    await client.post("/api/v1/keys", json={"name": "k"})
    assert {entry["action"] for entry in await actions_of(client)} == {"user.made", "key.made"}
    assert {entry["action"] for entry in await actions_of(client, action="key.made")} == {
        "key.made"
    }


async def test_a_refused_change_is_not_written_down(client: httpx.AsyncClient) -> None:
    person = await add(client)
    await client.post(
        "/api/v1/users",
        json={"email": person.email, "name": "Bo", "password": person.password},
    )
    assert len(await actions_of(client)) == 1


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_members_do_not_read_it(app: App, make: Maker, role: Role) -> None:
    async with caller_at(app, token=await make.key(role=role)) as caller:
        assert (await caller.get("/audit")).status_code == 403


async def test_another_workspace_does_not_read_it(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    await add(client)
    async with caller_at(app, token=await make.key()) as stranger:
        assert (await stranger.get("/audit")).json()["items"] == []
