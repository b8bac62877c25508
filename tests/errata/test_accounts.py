"""Accounts take what the sketches break on; a test is named for its line."""

from typing import Any

import httpx
import pytest

from posthouse.app import create_api
from posthouse.runtime import Runtime
from tests.accounts.people import add, fresh_email

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("user_id", [2**31, 2**63, 10**400, -1, 0])
async def test_L0937_a_number_of_any_size_is_an_unknown_user(
    client: httpx.AsyncClient, user_id: int
) -> None:
    answer = await client.get(f"/api/v1/users/{user_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    "body", [b"\xff", b"[" * 100_000, b'{"name": NaN}', b"{", b'{"a":1,"a":2}']
)
async def test_L0981_what_is_no_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/users", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body", [b"5", b"[]", b'"x"', b"null", b'[{"email": "a@example.com"}]', b"{}"]
)
async def test_L0984_json_of_another_shape_is_a_422(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/users", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_L0986_an_address_that_is_taken_is_a_409(client: httpx.AsyncClient) -> None:
    email = fresh_email()
    await add(client, email=email)
    body = {"email": email, "name": "Bob", "password": "tin roof lantern 43"}
    answer = await client.post("/api/v1/users", json=body)
    assert answer.status_code == 409


def test_L1034_no_secret_is_sent_in_the_address(runtime: Runtime) -> None:
    document = create_api(runtime).openapi()
    login: Any = document["paths"]["/api/v1/login"]["post"]
    assert [one for one in login.get("parameters", []) if one["in"] in {"query", "path"}] == []
    assert "application/json" in login["requestBody"]["content"]
