"""Members: their roles, who may change whose, and that a workspace keeps an owner."""

import asyncio

import httpx

from posthouse.kernel.edge import App
from tests.accounts.people import Person, actions_of, add, caller_at, log_in
from tests.make import Maker


async def role_of(client: httpx.AsyncClient, person: Person) -> str:
    return (await client.get(f"/api/v1/members/{person.id}")).json()["role"]


async def test_members_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    people = [await add(client) for _ in range(5)]
    shown: list[str] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get("/api/v1/members", params=params)).json()
        shown += [member["id"] for member in page["items"]]
        assert len(page["items"]) <= 2
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert shown == [person.id for person in reversed(people)]


async def test_a_member_has_these_fields(client: httpx.AsyncClient) -> None:
    person = await add(client, role="viewer")
    shown = (await client.get(f"/api/v1/members/{person.id}")).json()
    assert shown == {
        "id": person.id,
        "email": person.email,
        "name": "Ann",
        "role": "viewer",
        "version": 1,
        "created_at": shown["created_at"],
    }


async def test_another_workspace_s_members_are_not_listed(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    await add(client)
    async with caller_at(app, token=await make.key()) as stranger:
        assert (await stranger.get("/members")).json()["items"] == []


async def test_an_edit_needs_the_version_that_was_read(client: httpx.AsyncClient) -> None:
    person = await add(client)
    path = f"/api/v1/members/{person.id}"
    tag = (await client.get(path)).headers["etag"]
    first = await client.patch(path, json={"role": "admin"}, headers={"If-Match": tag})
    assert (first.status_code, first.json()["version"]) == (200, 2)
    second = await client.patch(path, json={"role": "viewer"}, headers={"If-Match": tag})
    assert (second.status_code, second.json()["code"]) == (412, "precondition-failed")
    gone = await client.delete(path, headers={"If-Match": tag})
    assert gone.status_code == 412
    assert await role_of(client, person) == "admin"
    bad = await client.patch(path, json={"role": "viewer"}, headers={"If-Match": "3"})
    assert bad.status_code == 422


async def test_the_same_role_again_changes_nothing(client: httpx.AsyncClient) -> None:
    person = await add(client)
    response = await client.patch(f"/api/v1/members/{person.id}", json={"role": "member"})
    assert response.json()["version"] == 1
    assert await actions_of(client, action="member.edited") == []


async def test_the_last_owner_stays_an_owner(client: httpx.AsyncClient) -> None:
    owner = await add(client, role="owner")
    for response in (
        await client.patch(f"/api/v1/members/{owner.id}", json={"role": "admin"}),
        await client.delete(f"/api/v1/members/{owner.id}"),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "last-owner")
    assert await role_of(client, owner) == "owner"
    other = await add(client, role="owner")
    assert (await client.delete(f"/api/v1/members/{owner.id}")).status_code == 204
    assert (await client.delete(f"/api/v1/members/{other.id}")).status_code == 409


async def test_two_owners_who_leave_at_once_do_not_both_leave(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        owners = [await add(client, role="owner") for _ in range(2)]
        before = [
            member["id"]
            for member in (await client.get("/api/v1/members")).json()["items"]
            if member["role"] == "owner" and member["id"] not in {one.id for one in owners}
        ]
        for user_id in before:
            await client.delete(f"/api/v1/members/{user_id}")
        async with asyncio.TaskGroup() as group:
            leaving = [
                group.create_task(client.delete(f"/api/v1/members/{owner.id}")) for owner in owners
            ]
        assert sorted(one.result().status_code for one in leaving) == [204, 409]


async def test_nobody_changes_a_higher_role_or_grants_one(
    client: httpx.AsyncClient, app: App
) -> None:
    owner, admin, member = [await add(client, role=role) for role in ("owner", "admin", "member")]
    await add(client, role="owner")
    async with await log_in(app, admin) as caller:
        for response in (
            await caller.patch(f"/members/{owner.id}", json={"role": "member"}),
            await caller.delete(f"/members/{owner.id}"),
            await caller.patch(f"/members/{member.id}", json={"role": "owner"}),
            await caller.patch(f"/members/{admin.id}", json={"role": "owner"}),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "role-too-high")
        response = await caller.patch(f"/members/{member.id}", json={"role": "admin"})
        assert response.status_code == 200
    assert await role_of(client, owner) == "owner"


async def test_members_and_viewers_change_nobody(client: httpx.AsyncClient, app: App) -> None:
    other = await add(client, role="viewer")
    for role in ("member", "viewer"):
        async with await log_in(app, await add(client, role=role)) as caller:
            path = f"/members/{other.id}"
            assert (await caller.get(path)).status_code == 200
            assert (await caller.patch(path, json={"role": "viewer"})).status_code == 403
            assert (await caller.delete(path)).status_code == 403


async def test_a_demoted_member_s_keys_above_its_role_end(
    client: httpx.AsyncClient, app: App
) -> None:
    admin = await add(client, role="admin")
    async with await log_in(app, admin) as caller:
        high, low = [
            (await caller.post("/keys", json={"name": role, "role": role})).json()
            for role in ("admin", "viewer")
        ]
    await client.patch(f"/api/v1/members/{admin.id}", json={"role": "member"})
    for key, status in ((high, 401), (low, 200)):
        async with caller_at(app, token=key["key"]) as caller:
            assert (await caller.get("/me")).status_code == status
    (entry,) = await actions_of(client, action="member.edited")
    assert entry["detail"] == {"from": "admin", "to": "member", "keys_revoked": [high["id"]]}


async def test_a_removed_member_s_keys_end_and_its_address_is_free(
    client: httpx.AsyncClient, app: App
) -> None:
    admin = await add(client, role="admin")
    async with await log_in(app, admin) as caller:
        key = (await caller.post("/keys", json={"name": "k"})).json()
    await client.delete(f"/api/v1/members/{admin.id}")
    async with caller_at(app, token=key["key"]) as caller:
        assert (await caller.get("/me")).status_code == 401
    assert (await client.get(f"/api/v1/users/{admin.id}")).status_code == 404
    assert (await client.delete(f"/api/v1/members/{admin.id}")).status_code == 404
    await add(client, email=admin.email)
    (entry,) = await actions_of(client, action="member.removed")
    assert (entry["subject"], entry["detail"]["keys_revoked"]) == (admin.id, [key["id"]])
