"""Users: who may be added, under which addresses and passwords, and what is shown of them."""

import asyncio
from typing import Any

import httpx
import pytest

from posthouse.accounts import emails
from posthouse.accounts.errors import PasswordRefusedError
from posthouse.accounts.passwordrules import check_password
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.accounts.people import (
    PASSWORD,
    actions_of,
    add,
    caller_at,
    codes_of,
    fresh_email,
    log_in,
)
from tests.make import Maker


def user(**chosen: Any) -> dict[str, Any]:
    return {"email": fresh_email(), "name": "Ann", "password": PASSWORD, **chosen}


async def test_an_admin_adds_a_user(client: httpx.AsyncClient) -> None:
    body = user()
    response = await client.post("/api/v1/users", json=body)
    assert response.status_code == 201
    shown = response.json()
    assert shown == {"id": shown["id"], "name": "Ann", "email": body["email"]}
    assert response.headers["location"] == f"/api/v1/users/{shown['id']}"
    assert (await client.get(response.headers["location"])).json() == shown


async def test_a_user_is_shown_by_exactly_three_fields(client: httpx.AsyncClient, app: App) -> None:
    person = await add(client)
    shown = await client.get(f"/api/v1/users/{person.id}")
    assert set(shown.json()) == {"id", "name", "email"}
    assert "argon2" not in shown.text
    async with await log_in(app, person) as caller:
        for path in (f"/users/{person.id}", f"/members/{person.id}", "/members", "/me"):
            text = (await caller.get(path)).text
            assert "argon2" not in text
            assert "password" not in text


async def test_a_foreign_an_unknown_and_a_malformed_id_look_alike(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    person = await add(client)
    async with caller_at(app, token=await make.key()) as stranger:
        for path in ("users", "members"):
            answers = [
                await stranger.get(f"/{path}/{user_id}")
                for user_id in (person.id, "usr_" + "0" * 26)
            ]
            bodies = [{**answer.json(), "request_id": ""} for answer in answers]
            assert {answer.status_code for answer in answers} == {404}
            assert bodies[0] == bodies[1]
            for text in ("1", person.id.upper(), "lnk_" + person.id[4:], "2147483648", "usr_"):
                assert (await stranger.get(f"/{path}/{text}")).status_code == 404
        for method, path in (("PATCH", "members"), ("DELETE", "members")):
            response = await stranger.request(
                method, f"/{path}/{person.id}", json={"role": "viewer"}
            )
            assert response.status_code == 404
    assert (await client.get(f"/api/v1/members/{person.id}")).status_code == 200


@pytest.mark.parametrize(
    "email",
    [
        "@",
        "a@@b",
        "a@b\r\nBcc: x@y",
        "ann@example.com\r\nBcc: x@example.com",
        "ann@example.com\n",
        "a@b",
        "",
        " ",
        " ann@example.com",
        "Ann <ann@example.com>",
        '"a b"@example.com',
        "ann@[127.0.0.1]",
        "ann@example..com",
        "ann@-example.com",
        "ann\u202e@example.com",
        "a" * 65 + "@example.com",
        "ann@" + "a." * 125 + "com",
        "ann@localhost",
    ],
)
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, email: str) -> None:
    response = await client.post("/api/v1/users", json=user(email=email))
    assert response.status_code == 422
    assert codes_of(response)["body.email"] in {"email-invalid", "too-long"}
    assert "Bcc" not in response.text


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800"])
async def test_what_cannot_be_stored_is_refused(client: httpx.AsyncClient, escape: str) -> None:
    body = f'{{"email": "ann{escape}@example.com", "name": "Ann", "password": "{PASSWORD}"}}'
    response = await client.post(
        "/api/v1/users", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert codes_of(response) == {"body.email": "invalid-character"}


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"age": -5}, "body.age", "unknown-field"),
        ({"name": ""}, "body.name", "empty-text"),
        ({"name": " \u200b "}, "body.name", "empty-text"),
        ({"name": "x" * 201}, "body.name", "too-long"),
        ({"name": None}, "body.name", "not-a-string"),
        ({"role": "king"}, "body.role", "enum"),
        ({"role": None}, "body.role", "enum"),
        ({"password": "x" * 129}, "body.password", "too-long"),
        ({"password": None}, "body.password", "not-a-string"),
        ({"password": 123456789012345}, "body.password", "not-a-string"),
    ],
)
async def test_other_bad_fields_are_named(
    client: httpx.AsyncClient, changed: dict[str, Any], field: str, code: str
) -> None:
    response = await client.post("/api/v1/users", json=user(**changed))
    assert response.status_code == 422
    assert codes_of(response) == {field: code}


async def test_the_address_is_kept_as_it_is_written(client: httpx.AsyncClient) -> None:
    local = fresh_email().partition("@")[0].title()
    made = await client.post("/api/v1/users", json=user(email=f"{local}+News@BÜCHER.Example"))
    assert made.json()["email"] == f"{local}+News@bücher.example"


async def test_an_address_is_taken_in_whatever_case_and_spelling(
    client: httpx.AsyncClient,
) -> None:
    local = fresh_email().partition("@")[0]
    await add(client, email=f"{local}@bücher.example")
    for email in (
        f"{local}@bücher.example",
        f"{local.upper()}@BÜCHER.example",
        f"{local}@xn--bcher-kva.example",
    ):
        response = await client.post("/api/v1/users", json=user(email=email))
        assert (response.status_code, response.json()["code"]) == (409, "email-taken")


async def test_of_sixteen_who_want_one_address_one_gets_it(client: httpx.AsyncClient) -> None:
    body = user()
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(client.post("/api/v1/users", json=body)) for _ in range(16)]
    statuses = sorted(one.result().status_code for one in tries)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {409, 503}
    members = (await client.get("/api/v1/members")).json()["items"]
    assert [member["email"] for member in members] == [body["email"]]


async def test_the_same_key_adds_a_user_once(client: httpx.AsyncClient) -> None:
    body, headers = user(), {"Idempotency-Key": "one"}
    first = await client.post("/api/v1/users", json=body, headers=headers)
    again = await client.post("/api/v1/users", json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


async def test_an_admin_cannot_make_an_owner(client: httpx.AsyncClient, app: App) -> None:
    admin = await add(client, role="admin")
    async with await log_in(app, admin) as caller:
        refused = await caller.post("/users", json=user(role="owner"))
        assert (refused.status_code, refused.json()["code"]) == (403, "role-too-high")
        assert (await caller.post("/users", json=user(role="admin"))).status_code == 201


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_members_and_viewers_add_nobody(app: App, make: Maker, role: Role) -> None:
    async with caller_at(app, token=await make.key(role=role)) as caller:
        response = await caller.post("/users", json=user())
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_adding_is_written_down_without_the_password(client: httpx.AsyncClient) -> None:
    person = await add(client, role="viewer")
    (entry,) = await actions_of(client, action="user.made")
    assert entry["subject"] == person.id
    assert entry["detail"] == {"email": person.email, "role": "viewer"}


async def test_passwords_are_kept_as_argon2id(client: httpx.AsyncClient, runtime: Runtime) -> None:
    person = await add(client)
    async with runtime.parts.db.read() as connection:
        kept = await connection.fetchval(
            "SELECT password_hash FROM users WHERE email = $1", person.email
        )
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("short", "too-short"),
        ("fourteen chars", "too-short"),
        # Fifteen characters, of which NFKC leaves five.
        ("e\u0301" * 5 + "abcde", "too-short"),
        ("correct horse battery staple", "too-common"),
        ("QwertyuiopASDFGHJKL", "too-common"),
        ("passwordpassword", "too-common"),
        ("aaaaaaaaaaaaaaaaaaaa", "repetitive"),
        ("abababababababab", "repetitive"),
        ("lantern lantern ", "repetitive"),
        ("abcdefghijklmnop", "repetitive"),
        ("zyxwvutsrqponmlk", "repetitive"),
        ("my posthouse lantern", "holds-a-name"),
        ("my PostHouse lantern", "holds-a-name"),
        ("ann.smith and a lantern", "holds-a-name"),
        ("ANN.SMITH and a lantern", "holds-a-name"),
    ],
)
def test_a_password_that_can_be_guessed_is_refused(password: str, rule: str) -> None:
    with pytest.raises(PasswordRefusedError) as caught:
        check_password(password, email="Ann.Smith@example.com", min_length=15)
    assert caught.value.fields[0].code == rule
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "onlysmallletters",
        "ALLCAPITALLETTERS",
        "5839201746583920",
        "mit blanken und ß",
        "пароль на пятнадцать",
        "🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐤🦆",
        "x" * 100 + "yz" * 14,
    ],
)
def test_no_rule_asks_for_kinds_of_characters(password: str) -> None:
    check_password(password, email="a@example.com", min_length=15)


async def test_a_refused_password_is_named_and_not_repeated(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/users", json=user(password="my posthouse lantern"))
    assert response.status_code == 422
    assert codes_of(response) == {"body.password": "holds-a-name"}
    assert "lantern" not in response.text


def test_any_text_can_be_tried_as_a_user_name() -> None:
    assert emails.as_username("Ann@EXAMPLE.com") == "Ann@example.com"
    assert emails.as_username("no address") == "no address"
