"""Logging in: who may, and what those who may not can learn."""

import unicodedata
from dataclasses import dataclass, field, replace

import httpx
import pytest

from posthouse.accounts.errors import WrongCredentialsError
from posthouse.accounts.model import USER, WORKSPACE, UserId, WorkspaceId
from posthouse.accounts.service import Accounts
from posthouse.accounts.sessions import NOWHERE, Sessions
from posthouse.accounts.store import users as store
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.kernel.passwords import Passwords
from posthouse.runtime import Runtime
from tests.accounts.people import (
    PASSWORD,
    Person,
    actions_of,
    add,
    caller_at,
    fresh_address,
    fresh_email,
    log_in,
    tokens_of,
)
from tests.make import Maker


@dataclass(slots=True)
class CountingPasswords(Passwords):
    """The real thing, which counts its checks."""

    checked: list[str | None] = field(default_factory=list[str | None])

    async def matches(self, password_hash: str | None, password: str) -> bool:
        self.checked.append(password_hash)
        return await super(CountingPasswords, self).matches(password_hash, password)


async def test_a_user_logs_in_with_email_and_password(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    tokens = await tokens_of(app, person)
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 900
    async with caller_at(app, token=tokens["access_token"]) as caller:
        me = (await caller.get("/me")).json()
    assert (me["id"], me["email"], me["role"]) == (person.id, person.email, "member")


async def test_the_address_may_be_written_in_any_case(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    await tokens_of(app, Person(person.id, person.email.upper()))


async def test_the_owner_of_the_first_run_can_log_in(runtime: Runtime, app: App) -> None:
    # A name that mail cannot be sent to is a user name all the same.
    email = f"owner.{fresh_address()}@posthouse.invalid"
    workspace_id = await Maker(runtime).workspace("First")
    user = UserId(workspace_id)
    hashed = await runtime.parts.passwords.hash(PASSWORD)
    async with runtime.parts.db.begin() as tx:
        await store.insert_user(tx, user, email, "Owner", hashed)
        await store.insert_membership(tx, workspace_id, user, Role.OWNER)
    await tokens_of(app, Person(USER.show(user), email))


async def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(
    client: httpx.AsyncClient, app: App
) -> None:
    person = await add(client)
    answers: list[httpx.Response] = []
    for username in (person.email, fresh_email(), "no address", "@", "' OR 1=1 --"):
        async with caller_at(app) as visitor:
            body = {"username": username, "password": "wrong " + PASSWORD}
            answers.append(await visitor.post("/login", json=body))
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="posthouse"'
    }
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert bodies == [bodies[0]] * len(bodies)
    assert bodies[0]["code"] == "wrong-credentials"
    names = [sorted(answer.headers) for answer in answers]
    assert names == [names[0]] * len(names)


async def test_an_unknown_user_costs_one_hash_and_one_audit_row_too(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    person = await add(client)
    passwords = CountingPasswords()
    real: Sessions = runtime.services[Sessions]  # type: ignore[assignment]
    sessions = replace(real, passwords=passwords)
    address = fresh_address()
    for username in (person.email, fresh_email()):
        with pytest.raises(WrongCredentialsError):
            await sessions.log_in(username, "wrong " + PASSWORD, network=address)
    passwords.close()
    known, unknown = passwords.checked
    assert known is not None
    assert unknown is None
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch(
            "SELECT workspace_id, subject FROM audit_log"
            " WHERE action = 'login.failed' AND detail->>'address' = $1 ORDER BY id",
            address,
        )
    assert [row["subject"] for row in rows] == [person.id, "unknown"]
    assert rows[1]["workspace_id"] == NOWHERE


async def test_logins_are_written_down(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    await tokens_of(app, person)
    async with caller_at(app) as visitor:
        await visitor.post("/login", json=person.credentials(password="wrong"))
    failed, opened, made = await actions_of(client)
    assert (failed["action"], failed["actor"], failed["subject"]) == (
        "login.failed",
        "anonymous",
        person.id,
    )
    assert (opened["action"], opened["actor"]) == ("session.opened", person.id)
    assert made["action"] == "user.made"


@pytest.mark.parametrize("path", ["/login", "/login/refresh"])
async def test_secrets_in_the_query_are_refused(app: App, path: str) -> None:
    query = {"username": "a@example.com", "password": PASSWORD, "refresh_token": "x"}
    async with caller_at(app) as visitor:
        for body in (None, query):
            response = await visitor.post(path, params=query, json=body)
            assert response.status_code == 422
            assert PASSWORD not in response.text


async def test_a_login_form_is_refused(app: App) -> None:
    async with caller_at(app) as visitor:
        response = await visitor.post("/login", data={"username": "a", "password": PASSWORD})
    assert response.status_code == 415


async def test_a_login_is_not_kept_for_an_idempotency_key(
    client: httpx.AsyncClient, app: App
) -> None:
    person = await add(client)
    async with caller_at(app) as visitor:
        first, second = [
            await visitor.post(
                "/login", json=person.credentials(), headers={"Idempotency-Key": "same"}
            )
            for _ in range(2)
        ]
    assert first.json()["refresh_token"] != second.json()["refresh_token"]
    assert "idempotency-replayed" not in second.headers


async def test_passwords_that_look_the_same_are_the_same(
    client: httpx.AsyncClient, app: App
) -> None:
    written = "Ünïcode ﬁsh Ångström"
    person = await add(client, password=written)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        typed = unicodedata.normalize(form, written)  # type: ignore[arg-type]
        await tokens_of(app, Person(person.id, person.email, typed))


async def test_no_character_of_a_password_is_cut_off(client: httpx.AsyncClient, app: App) -> None:
    # bcrypt would stop at 72 bytes.
    start = "".join(chr(ord("a") + number * 7 % 26) for number in range(127))
    person = await add(client, password=start + "1")
    for typed in (start + "2", start, start[:64], start[:72]):
        async with caller_at(app) as visitor:
            response = await visitor.post("/login", json=person.credentials(password=typed))
        assert response.status_code == 401
    await tokens_of(app, person)


async def test_64_characters_and_one_more_differ(client: httpx.AsyncClient, app: App) -> None:
    sixty_four = "".join(chr(ord("a") + number * 7 % 26) for number in range(64))
    person = await add(client, password=sixty_four)
    async with caller_at(app) as visitor:
        longer = await visitor.post("/login", json=person.credentials(password=sixty_four + "x"))
        exact = await visitor.post("/login", json=person.credentials())
    assert (longer.status_code, exact.status_code) == (401, 200)


async def test_a_member_of_two_workspaces_chooses_one(
    client: httpx.AsyncClient, app: App, make: Maker, runtime: Runtime
) -> None:
    person = await add(client, role="admin")
    other: WorkspaceId = await make.workspace("Other")
    async with runtime.parts.db.begin() as tx:
        await store.insert_membership(tx, other, UserId(USER.read(person.id)), Role.VIEWER)
    async with await log_in(app, person) as caller:
        first = (await caller.get("/me")).json()
    async with await log_in(app, person, workspace=_shown(other)) as caller:
        second = (await caller.get("/me")).json()
    assert (first["workspace"]["name"], first["role"]) == ("Test", "admin")
    assert (second["workspace"]["name"], second["role"]) == ("Other", "viewer")
    strange = await make.workspace("Strange")
    async with caller_at(app) as visitor:
        body = person.credentials(workspace=_shown(strange))
        assert (await visitor.post("/login", json=body)).status_code == 401


async def test_a_password_that_changes_meanwhile_opens_nothing(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    person = await add(client)

    @dataclass(slots=True)
    class SlowPasswords(Passwords):
        """While the old password is checked, the user changes it."""

        async def matches(self, password_hash: str | None, password: str) -> bool:
            found = await super(SlowPasswords, self).matches(password_hash, password)
            async with runtime.parts.db.begin() as tx:
                await store.update_user(
                    tx,
                    USER.read(person.id),
                    1,
                    name=None,
                    password_hash="another",
                )
            return found

    real: Sessions = runtime.services[Sessions]  # type: ignore[assignment]
    slow = SlowPasswords()
    with pytest.raises(WrongCredentialsError):
        await replace(real, passwords=slow).log_in(
            person.email, person.password, network=fresh_address()
        )
    slow.close()


async def test_the_first_run_happens_once(runtime: Runtime, make: Maker) -> None:
    await make.workspace()
    accounts: Accounts = runtime.services[Accounts]  # type: ignore[assignment]
    assert await accounts.first_run() is None


def _shown(workspace_id: WorkspaceId) -> str:
    return WORKSPACE.show(workspace_id)
