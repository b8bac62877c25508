"""Staying logged in: each refresh token works once, and a stolen one ends the session."""

import asyncio
import hashlib

import httpx
import pytest

from posthouse.accounts.sessions import Sessions
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.accounts.people import actions_of, add, caller_at, refresh, tokens_of


async def can_ask(app: App, access_token: str) -> bool:
    async with caller_at(app, token=access_token) as caller:
        return (await caller.get("/me")).status_code == 200


async def test_a_refresh_gives_new_tokens(client: httpx.AsyncClient, app: App) -> None:
    first = await tokens_of(app, await add(client))
    second = (await refresh(app, first["refresh_token"])).json()
    third = (await refresh(app, second["refresh_token"])).json()
    assert len({one["refresh_token"] for one in (first, second, third)}) == 3
    assert len({one["access_token"] for one in (first, second, third)}) == 3
    assert await can_ask(app, first["access_token"])
    assert await can_ask(app, third["access_token"])


async def test_a_used_token_that_comes_back_ends_the_session(
    client: httpx.AsyncClient, app: App
) -> None:
    first = await tokens_of(app, await add(client))
    second = (await refresh(app, first["refresh_token"])).json()
    assert await can_ask(app, second["access_token"])
    stolen = await refresh(app, first["refresh_token"])
    assert stolen.status_code == 401
    assert stolen.json()["code"] == "refresh-token-invalid"
    assert "www-authenticate" in stolen.headers
    # The error did not roll the revocation back.
    assert not await can_ask(app, first["access_token"])
    assert not await can_ask(app, second["access_token"])
    assert (await refresh(app, second["refresh_token"])).status_code == 401
    revoked = await actions_of(client, action="session.revoked")
    assert [entry["detail"] for entry in revoked] == [{"because": "refresh-reuse"}]


async def test_another_session_of_the_user_goes_on(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    first, other = await tokens_of(app, person), await tokens_of(app, person)
    await refresh(app, first["refresh_token"])
    await refresh(app, first["refresh_token"])
    assert not await can_ask(app, first["access_token"])
    assert await can_ask(app, other["access_token"])
    assert (await refresh(app, other["refresh_token"])).status_code == 200


async def test_of_sixteen_at_once_one_wins(client: httpx.AsyncClient, app: App) -> None:
    token = (await tokens_of(app, await add(client)))["refresh_token"]
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(refresh(app, token)) for _ in range(16)]
    statuses = sorted(one.result().status_code for one in tries)
    assert statuses == [200] + [401] * 15
    revoked = await actions_of(client, action="session.revoked")
    assert len(revoked) == 1


@pytest.mark.parametrize("token", ["x", "ph_refresh_", "ph_refresh_" + "a" * 43, "é" * 100])
async def test_an_unknown_token_is_refused(app: App, token: str) -> None:
    assert (await refresh(app, token)).status_code == 401


async def test_a_session_that_nobody_uses_ends(
    client: httpx.AsyncClient, app: App, runtime: Runtime
) -> None:
    tokens = await tokens_of(app, await add(client))
    digest = hashlib.sha256(tokens["refresh_token"].encode()).digest()
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE sessions SET expires_at = now() - interval '1 s' WHERE id ="
            " (SELECT session_id FROM refresh_tokens WHERE digest = $1)",
            digest,
        )
    assert (await refresh(app, tokens["refresh_token"])).status_code == 401
    assert not await can_ask(app, tokens["access_token"])
    # That was no theft.
    assert await actions_of(client, action="session.revoked") == []


async def test_logging_out_ends_all_tokens_of_the_session(
    client: httpx.AsyncClient, app: App
) -> None:
    tokens = await tokens_of(app, await add(client))
    async with caller_at(app, token=tokens["access_token"]) as caller:
        assert (await caller.get("/me")).status_code == 200
        assert (await caller.post("/logout")).status_code == 204
        assert (await caller.get("/me")).status_code == 401
        assert (await caller.post("/logout")).status_code == 401
    assert (await refresh(app, tokens["refresh_token"])).status_code == 401
    assert len(await actions_of(client, action="session.closed")) == 1


async def test_a_key_has_no_session_to_leave(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/logout")
    assert (response.status_code, response.json()["code"]) == (403, "not-a-user")


async def test_no_token_is_stored(client: httpx.AsyncClient, app: App, runtime: Runtime) -> None:
    tokens = await tokens_of(app, await add(client))
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch("SELECT t::text FROM refresh_tokens t")
    secret = tokens["refresh_token"]
    dump = " ".join(row["t"] for row in rows)
    assert hashlib.sha256(secret.encode()).hexdigest() in dump
    assert secret.removeprefix("ph_refresh_") not in dump
    assert secret.encode().hex() not in dump


async def test_what_has_long_ended_is_deleted(
    client: httpx.AsyncClient, app: App, runtime: Runtime
) -> None:
    kept, old = [await tokens_of(app, await add(client)) for _ in range(2)]
    digests = [hashlib.sha256(one["refresh_token"].encode()).digest() for one in (kept, old)]
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE sessions SET expires_at = now() - interval '8 days' WHERE id ="
            " (SELECT session_id FROM refresh_tokens WHERE digest = $1)",
            digests[1],
        )
    sessions = runtime.services[Sessions]
    assert isinstance(sessions, Sessions)
    await sessions.purge()
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch(
            "SELECT digest FROM refresh_tokens WHERE digest = ANY($1)", digests
        )
    assert [row["digest"] for row in rows] == digests[:1]
