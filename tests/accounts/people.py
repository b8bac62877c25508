"""People for the tests of accounts: made through the API, logged in from addresses of their own."""

import os
from dataclasses import dataclass
from typing import Any

import httpx

from posthouse.kernel.edge import App

PASSWORD = "tin roof lantern 42"


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as the tests know it."""

    id: str
    email: str
    password: str = PASSWORD

    def credentials(self, **more: Any) -> dict[str, Any]:
        return {"username": self.email, "password": self.password, **more}


def fresh_email() -> str:
    return f"user.{os.urandom(6).hex()}@example.com"


def fresh_address() -> str:
    """An IPv4 address that no other test calls from."""
    return "10." + ".".join(str(byte) for byte in os.urandom(3))


def caller_at(app: App, address: str | None = None, token: str | None = None) -> httpx.AsyncClient:
    """A client that calls from an address of its own, with a key or an access token if given."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=(address or fresh_address(), 1)),
        base_url="http://127.0.0.1/api/v1",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=30,
    )


async def add(client: httpx.AsyncClient, role: str = "member", **chosen: Any) -> Person:
    """Add a user to the workspace of `client`."""
    body = {"email": fresh_email(), "name": "Ann", "password": PASSWORD, "role": role, **chosen}
    response = await client.post("/api/v1/users", json=body)
    assert response.status_code == 201, response.text
    return Person(response.json()["id"], body["email"], body["password"])


async def tokens_of(app: App, person: Person, **more: Any) -> dict[str, Any]:
    """Log in."""
    async with caller_at(app) as visitor:
        response = await visitor.post("/login", json=person.credentials(**more))
    assert response.status_code == 200, response.text
    return response.json()


async def log_in(app: App, person: Person, **more: Any) -> httpx.AsyncClient:
    """A client with the access token of a new session."""
    tokens = await tokens_of(app, person, **more)
    return caller_at(app, token=tokens["access_token"])


async def refresh(app: App, refresh_token: str) -> httpx.Response:
    async with caller_at(app) as visitor:
        return await visitor.post("/login/refresh", json={"refresh_token": refresh_token})


async def actions_of(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    """The newest entries of the audit log."""
    response = await client.get("/api/v1/audit", params={"limit": 100, **params})
    assert response.status_code == 200, response.text
    return response.json()["items"]


def codes_of(response: httpx.Response) -> dict[str, str]:
    """What is wrong with which field."""
    return {problem["field"]: problem["code"] for problem in response.json()["errors"]}
