"""What is revoked ends at once in this process, and within a second in every other."""

import asyncio

import httpx
import pytest

from posthouse.accounts.authentication import Authentication
from posthouse.accounts.model import KEY, KeyId
from posthouse.accounts.recent import Recent
from posthouse.accounts.store import keys as key_store
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal, Role, UnauthenticatedError
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.accounts.people import add, caller_at, log_in, tokens_of
from tests.fakes import FrozenClock
from tests.make import Maker


def another_process(runtime: Runtime, clock: FrozenClock) -> Authentication:
    """The same database and secret, and memories of its own."""
    ours = runtime.authenticator
    assert isinstance(ours, Authentication)
    return Authentication(runtime.parts.db, ours.tokens, Recent(clock))


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient, app: App) -> None:
    made = (await client.post("/api/v1/keys", json={"name": "k"})).json()
    async with caller_at(app, token=made["key"]) as caller:
        assert (await caller.get("/me")).status_code == 200
        assert (await client.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
        assert (await caller.get("/me")).status_code == 401


async def test_another_process_refuses_a_revoked_key_within_a_second(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    clock = FrozenClock()
    elsewhere = another_process(runtime, clock)
    made = (await client.post("/api/v1/keys", json={"name": "k"})).json()
    assert (await elsewhere.authenticate(made["key"])).actor == made["id"]
    await client.delete(f"/api/v1/keys/{made['id']}")
    clock.advance(0.99)
    await elsewhere.authenticate(made["key"])
    clock.advance(0.01)
    with pytest.raises(UnauthenticatedError):
        await elsewhere.authenticate(made["key"])


async def test_another_process_learns_of_a_logout_and_a_role_within_a_second(
    client: httpx.AsyncClient, app: App, runtime: Runtime
) -> None:
    clock = FrozenClock()
    elsewhere = another_process(runtime, clock)
    person = await add(client)
    token = (await tokens_of(app, person))["access_token"]
    assert (await elsewhere.authenticate(token)).role is Role.MEMBER
    await client.patch(f"/api/v1/members/{person.id}", json={"role": "viewer"})
    clock.advance(1)
    assert (await elsewhere.authenticate(token)).role is Role.VIEWER
    async with caller_at(app, token=token) as caller:
        await caller.post("/logout")
    clock.advance(1)
    with pytest.raises(UnauthenticatedError):
        await elsewhere.authenticate(token)


async def test_a_removed_member_is_out_at_once(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    async with await log_in(app, person) as caller:
        assert (await caller.get("/members")).status_code == 200
        assert (await client.delete(f"/api/v1/members/{person.id}")).status_code == 204
        assert (await caller.get("/members")).status_code == 401
    async with caller_at(app) as visitor:
        assert (await visitor.post("/login", json=person.credentials())).status_code == 401


async def test_a_new_role_counts_at_once(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client, role="admin")
    async with await log_in(app, person) as caller:
        assert (await caller.get("/audit")).status_code == 200
        await client.patch(f"/api/v1/members/{person.id}", json={"role": "viewer"})
        assert (await caller.get("/audit")).status_code == 403


async def test_a_look_up_that_began_before_the_revocation_is_not_remembered() -> None:
    recent = Recent(FrozenClock())
    found = Principal(workspace_id=ids.fresh(), actor="key_1", role=Role.VIEWER)
    may_end = asyncio.Event()

    async def find_slowly() -> Principal:
        await may_end.wait()
        return found

    async def refuse() -> Principal:
        raise UnauthenticatedError

    async with asyncio.TaskGroup() as group:
        early = group.create_task(recent.get("k", find_slowly))
        await asyncio.sleep(0)
        await recent.forget()
        may_end.set()
    assert early.result() is found
    with pytest.raises(UnauthenticatedError):
        await recent.get("k", refuse)


async def test_a_hundred_requests_at_once_ask_once() -> None:
    recent = Recent(FrozenClock())
    found = Principal(workspace_id=ids.fresh(), actor="key_1", role=Role.VIEWER)
    asked = 0

    async def find() -> Principal:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return found

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(recent.get("k", find)) for _ in range(100)]
    assert {id(one.result()) for one in asking} == {id(found)}
    assert asked == 1


async def test_a_cancelled_request_does_not_stop_the_others() -> None:
    recent = Recent(FrozenClock())
    found = Principal(workspace_id=ids.fresh(), actor="key_1", role=Role.VIEWER)
    never = asyncio.Event()

    async def hang() -> Principal:
        await never.wait()
        return found

    async def find() -> Principal:
        return found

    async with asyncio.TaskGroup() as group:
        first = group.create_task(recent.get("k", hang))
        await asyncio.sleep(0)
        second = group.create_task(recent.get("k", find))
        await asyncio.sleep(0)
        first.cancel()
    assert second.result() is found


async def test_memories_do_not_grow_without_bound() -> None:
    recent = Recent(FrozenClock(), capacity=10)
    found = Principal(workspace_id=ids.fresh(), actor="key_1", role=Role.VIEWER)

    async def find() -> Principal:
        return found

    for number in range(100):
        await recent.get(number, find)
    assert len(recent._known) == 10
    assert len(recent._turns) == 0


async def test_a_busy_key_costs_one_look_up_a_second(runtime: Runtime, make: Maker) -> None:
    key = await make.key()
    clock = FrozenClock()
    elsewhere = another_process(runtime, clock)
    first = await elsewhere.authenticate(key)
    for _ in range(100):
        assert await elsewhere.authenticate(key) is first
    clock.advance(1)
    assert await elsewhere.authenticate(key) is not first


async def test_a_row_that_somebody_holds_does_not_delay_its_key(
    runtime: Runtime, make: Maker
) -> None:
    key = await make.key()
    elsewhere = another_process(runtime, FrozenClock())
    key_id = (await elsewhere.authenticate(key)).key_id
    assert key_id is not None
    async with runtime.parts.db.pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE api_keys SET last_used_at = NULL WHERE id = $1", key_id)
        again = another_process(runtime, FrozenClock())
        assert (await again.authenticate(key)).actor == KEY.show(key_id)


async def test_the_use_of_a_key_is_noted(runtime: Runtime, make: Maker) -> None:
    key = await make.key()
    principal = await another_process(runtime, FrozenClock()).authenticate(key)
    assert principal.key_id is not None
    async with runtime.parts.db.read() as connection:
        found = await key_store.find(connection, principal.workspace_id, KeyId(principal.key_id))
    assert found is not None
    assert found.last_used_at is not None
