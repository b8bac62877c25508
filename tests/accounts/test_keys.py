"""API keys: shown once, never above their maker, and ended for good."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from posthouse.accounts import apikeys
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.accounts.people import actions_of, add, caller_at, codes_of, log_in
from tests.make import Maker

WRITE_LINK = {"url": "https://example.com/"}


async def made(client: httpx.AsyncClient, **chosen: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/keys", json={"name": "k", **chosen})
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_key_is_shown_once(client: httpx.AsyncClient) -> None:
    key = await made(client, name="Deploy")
    assert key["key"].startswith("ph_live_")
    assert key["hint"] == key["key"][:12] + "…"
    shown = (await client.get(f"/api/v1/keys/{key['id']}")).json()
    assert shown == {name: value for name, value in key.items() if name != "key"}
    listed = await client.get("/api/v1/keys")
    assert key["key"] not in listed.text
    assert listed.json()["items"][0]["id"] == key["id"]


async def test_only_the_digest_is_stored_even_with_an_idempotency_key(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    response = await client.post(
        "/api/v1/keys", json={"name": "k"}, headers={"Idempotency-Key": "abc"}
    )
    key = response.json()["key"]
    again = await client.post(
        "/api/v1/keys", json={"name": "k"}, headers={"Idempotency-Key": "abc"}
    )
    assert again.json()["key"] != key
    async with runtime.parts.db.read() as connection:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        for table in tables:
            rows = await connection.fetch(f'SELECT t::text AS row FROM "{table[0]}" t')  # noqa: S608
            dump = " ".join(row["row"] for row in rows)
            assert key[12:] not in dump
            assert key.encode().hex() not in dump


async def test_a_key_does_what_its_scopes_say(client: httpx.AsyncClient, app: App) -> None:
    key = await made(client, role="admin", scopes=["links:read"])
    assert key["scopes"] == ["links:read"]
    async with caller_at(app, token=key["key"]) as caller:
        assert (await caller.get("/links")).status_code == 200
        refused = await caller.post("/shorten", json=WRITE_LINK)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        for method, path in (("GET", "/members"), ("GET", "/audit"), ("POST", "/keys")):
            response = await caller.request(method, path, json={} if method == "POST" else None)
            assert response.status_code == 403
        me = (await caller.get("/me")).json()
    assert (me["kind"], me["id"], me["email"]) == ("key", key["id"], None)
    assert me["scopes"] == ["links:read"]


async def test_a_key_does_what_its_role_says(client: httpx.AsyncClient, app: App) -> None:
    statuses: dict[str, list[int]] = {}
    for role in Role:
        key = await made(client, role=role)
        async with caller_at(app, token=key["key"]) as caller:
            statuses[role] = [
                (await caller.get("/links")).status_code,
                (await caller.post("/shorten", json=WRITE_LINK)).status_code,
                (await caller.get("/audit")).status_code,
                (await caller.get("/keys")).status_code,
            ]
    assert statuses == {
        "owner": [200, 201, 200, 200],
        "admin": [200, 201, 200, 200],
        "member": [200, 201, 403, 200],
        "viewer": [200, 403, 403, 200],
    }


async def test_a_key_is_a_member_s_unless_it_says_otherwise(client: httpx.AsyncClient) -> None:
    key = await made(client)
    assert (key["role"], key["scopes"], key["expires_at"]) == ("member", None, None)


async def test_no_key_is_above_its_maker(client: httpx.AsyncClient, app: App) -> None:
    async with await log_in(app, await add(client, role="admin")) as caller:
        response = await caller.post("/keys", json={"name": "k", "role": "owner"})
        assert (response.status_code, response.json()["code"]) == (403, "role-too-high")
        for role in ("admin", "member", "viewer"):
            response = await caller.post("/keys", json={"name": "k", "role": role})
            assert response.status_code == 201
    for role in ("member", "viewer"):
        async with await log_in(app, await add(client, role=role)) as caller:
            assert (await caller.post("/keys", json={"name": "k"})).status_code == 403


async def test_a_narrow_key_makes_no_wider_one(client: httpx.AsyncClient, app: App) -> None:
    narrow = await made(client, role="admin", scopes=["accounts:write", "accounts:read"])
    async with caller_at(app, token=narrow["key"]) as caller:
        wider = await caller.post("/keys", json={"name": "k", "scopes": ["links:write"]})
        assert (wider.status_code, wider.json()["code"]) == (403, "scope-too-wide")
        like_it = (await caller.post("/keys", json={"name": "k"})).json()
    assert like_it["scopes"] == ["accounts:read", "accounts:write"]
    assert like_it["created_by"] == narrow["id"]


@pytest.mark.parametrize("scopes", [["links:fly"], ["self"], ["links:read", "*"], ["\u0000"]])
async def test_an_unknown_scope_is_refused(client: httpx.AsyncClient, scopes: list[str]) -> None:
    response = await client.post("/api/v1/keys", json={"name": "k", "scopes": scopes})
    assert response.status_code == 422
    assert codes_of(response) == {"body.scopes": "unknown-scope"}
    assert "links:write" in response.json()["detail"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scopes": []}, "too-short"),
        ({"scopes": ["x" * 65]}, "too-long"),
        ({"scopes": ["links:read"] * 51}, "too-long"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expiry-passed"),
        ({"expires_at": "2050-01-01T00:00:00"}, "timezone-aware"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "out-of-range"),
        ({"name": ""}, "empty-text"),
        ({"name": None}, "not-a-string"),
        ({"key": "ph_live_mine"}, "unknown-field"),
    ],
)
async def test_bad_fields_are_named(
    client: httpx.AsyncClient, changed: dict[str, Any], code: str
) -> None:
    response = await client.post("/api/v1/keys", json={"name": "k", **changed})
    assert response.status_code == 422
    assert code in codes_of(response).values()


async def test_an_expired_key_is_refused(
    client: httpx.AsyncClient, app: App, runtime: Runtime
) -> None:
    end = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251  the test's own wish
    key = await made(client, expires_at=end.isoformat())
    assert datetime.fromisoformat(key["expires_at"]) == end
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE digest = $1",
            apikeys.digest(key["key"]),
        )
    async with caller_at(app, token=key["key"]) as caller:
        assert (await caller.get("/me")).status_code == 401


async def test_a_key_is_revoked_once_and_may_be_asked_again(client: httpx.AsyncClient) -> None:
    key = await made(client)
    path = f"/api/v1/keys/{key['id']}"
    for _ in range(3):
        response = await client.delete(path)
        assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(path)).json()["revoked_at"] is not None
    assert len(await actions_of(client, action="key.revoked")) == 1


async def test_a_foreign_key_is_not_found(client: httpx.AsyncClient, app: App, make: Maker) -> None:
    key = await made(client)
    async with caller_at(app, token=await make.key()) as stranger:
        for method in ("GET", "DELETE"):
            response = await stranger.request(method, f"/keys/{key['id']}")
            assert (response.status_code, response.json()["code"]) == (404, "key-not-found")
        listed = (await stranger.get("/keys")).json()["items"]
        assert key["id"] not in {one["id"] for one in listed}
    async with caller_at(app, token=key["key"]) as caller:
        assert (await caller.get("/me")).status_code == 200


async def test_a_mistyped_key_is_refused_without_asking(app: App, make: Maker) -> None:
    key = await make.key()
    for wrong in (key[:-1], key + "0", key[:20] + "~" + key[21:], key.upper(), "ph_live_"):
        assert apikeys.digest(wrong) is None
        async with caller_at(app, token=wrong) as caller:
            assert (await caller.get("/me")).status_code == 401


async def test_another_checksum_is_refused() -> None:
    key = apikeys.fresh()
    changed = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert apikeys.digest(key) is not None
    assert apikeys.digest(changed) is None
