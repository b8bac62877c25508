"""One's own account: who am I, and how do I change my name and password."""

from typing import Any

import httpx
import pytest

from posthouse.kernel.edge import App
from tests.accounts.people import (
    Person,
    actions_of,
    add,
    caller_at,
    codes_of,
    log_in,
    refresh,
    tokens_of,
)

NEW = "another tin lantern"


async def test_a_user_is_told_who_it_is(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client, role="viewer")
    async with await log_in(app, person) as caller:
        me = (await caller.get("/me")).json()
    assert me == {
        "kind": "user",
        "id": person.id,
        "name": "Ann",
        "email": person.email,
        "workspace": {"id": me["workspace"]["id"], "name": "Test"},
        "role": "viewer",
        "scopes": None,
    }


async def test_a_user_changes_its_name(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    async with await log_in(app, person) as caller:
        tag = (await caller.get("/me")).headers["etag"]
        response = await caller.patch("/me", json={"name": "Bo"}, headers={"If-Match": tag})
        assert (response.status_code, response.json()["name"]) == (200, "Bo")
        stale = await caller.patch("/me", json={"name": "Cy"}, headers={"If-Match": tag})
        assert stale.status_code == 412
    assert (await client.get(f"/api/v1/users/{person.id}")).json()["name"] == "Bo"
    (entry,) = await actions_of(client, action="user.edited")
    assert entry["detail"] == {"fields": ["name"]}


async def test_a_new_password_ends_all_other_sessions(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    here, elsewhere = await tokens_of(app, person), await tokens_of(app, person)
    async with (
        caller_at(app, token=here["access_token"]) as caller,
        caller_at(app, token=elsewhere["access_token"]) as other,
    ):
        assert (await other.get("/me")).status_code == 200
        body = {"password": NEW, "current_password": person.password}
        assert (await caller.patch("/me", json=body)).status_code == 200
        assert (await caller.get("/me")).status_code == 200
        assert (await other.get("/me")).status_code == 401
    assert (await refresh(app, elsewhere["refresh_token"])).status_code == 401
    assert (await refresh(app, here["refresh_token"])).status_code == 200
    async with caller_at(app) as visitor:
        assert (await visitor.post("/login", json=person.credentials())).status_code == 401
    await tokens_of(app, Person(person.id, person.email, NEW))


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "body", "empty-patch"),
        ({"current_password": "x"}, "body", "empty-patch"),
        ({"password": NEW}, "body.current_password", "current-password-wrong"),
        (
            {"password": NEW, "current_password": "wrong"},
            "body.current_password",
            "current-password-wrong",
        ),
        ({"password": "short", "current_password": "x"}, "body.password", "too-short"),
        ({"name": None}, "body.name", "not-a-string"),
        ({"password": None}, "body.password", "not-a-string"),
        ({"name": ""}, "body.name", "empty-text"),
        ({"email": "x@example.com"}, "body.email", "unknown-field"),
        ({"role": "owner"}, "body.role", "unknown-field"),
    ],
)
async def test_what_cannot_be_changed_so_is_named(
    client: httpx.AsyncClient, app: App, body: dict[str, Any], field: str, code: str
) -> None:
    person = await add(client)
    async with await log_in(app, person) as caller:
        response = await caller.patch("/me", json=body)
    assert response.status_code == 422
    assert codes_of(response) == {field: code}
    await tokens_of(app, person)


async def test_a_key_has_no_profile_to_change(client: httpx.AsyncClient) -> None:
    response = await client.patch("/api/v1/me", json={"name": "Bo"})
    assert (response.status_code, response.json()["code"]) == (403, "not-a-user")


async def test_nobody_is_asked_to_log_in(app: App) -> None:
    async with caller_at(app) as visitor:
        for method, path in (("GET", "/me"), ("PATCH", "/me"), ("POST", "/logout")):
            response = await visitor.request(method, path)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Bearer realm="posthouse"'
