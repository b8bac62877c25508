"""The edge says what the sketches do not; a test is named for its line, or for all of them."""

from typing import Any

import httpx
import pytest

from posthouse.app import create_api, create_app
from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.openapi import operations
from posthouse.kernel.routing import Routes
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker

INSIDE = "postgres://admin:hunter2@10.0.0.5/shop"


async def test_L0541_credentials_are_read_from_authorization(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    key = await make.key()
    by_name = await stranger.get("/api/v1/links", headers={"token": key})
    assert by_name.status_code == 401
    assert by_name.headers["www-authenticate"].startswith("Bearer")
    by_scheme = await stranger.get("/api/v1/links", headers={"Authorization": f"Bearer {key}"})
    assert by_scheme.status_code == 200


def test_L0686_what_may_be_absent_is_declared_so(runtime: Runtime) -> None:
    absent: dict[str, Any] = {
        f"{method} {path} {one['name']}": one["schema"]
        for method, path, operation in operations(create_api(runtime).openapi())
        for one in operation.get("parameters", [])
        if one["in"] == "query" and not one["required"] and "default" not in one["schema"]
    }
    assert absent
    liars = [name for name, schema in absent.items() if {"type": "null"} not in schema["anyOf"]]
    assert liars == []


async def test_L1263_an_unexpected_error_tells_nothing_of_the_inside(
    runtime: Runtime, make: Maker
) -> None:
    routes = Routes.of("broken")

    @routes.get("/broken", needs=Scope("links:read", Role.VIEWER), response_model=dict[str, str])
    async def broken() -> dict[str, str]:
        raise ConnectionError(INSIDE)

    async with client_of(create_app(runtime, further={"v2": [routes]}), await make.key()) as client:
        answer = await client.get("/api/v2/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    shown = answer.json()
    assert shown["code"] == "internal"
    assert shown["request_id"] == answer.headers["x-request-id"]
    for word in ("hunter2", "10.0.0.5", "ConnectionError", "Traceback"):
        assert word not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/links/lnk_x", 404),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/links", 405),
        ("POST", "/api/v1/links", 422),
        ("GET", "/api/v1/links?limit=x", 422),
    ],
)
async def test_every_error_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    shown = answer.json()
    assert shown["status"] == status
    assert shown["code"]
    assert shown["request_id"] == answer.headers["x-request-id"]
