"""Every route is declared whole, and nobody sees another workspace through any of them."""

import importlib
import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from posthouse.app import create_api
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.kernel.openapi import operations
from posthouse.kernel.routing import Endpoint
from posthouse.runtime import Runtime
from posthouse.slices import SLICES
from tests.conftest import client_of
from tests.make import Maker

# Routes that anybody may call without credentials.
OPEN = {"/login", "/login/refresh", "/shorten", "/files/tus"}


def endpoints() -> Iterator[Endpoint]:
    for one in SLICES:
        for routes in one.routes:
            for route in routes.router.routes:
                assert isinstance(route, Endpoint), f"{route} is not declared by Routes"
                if route.include_in_schema:
                    yield route


def named(route: APIRoute) -> str:
    return f"{'/'.join(sorted(route.methods or ()))} {route.path}"


ENDPOINTS = sorted(endpoints(), key=named)


@pytest.fixture
def document(runtime: Runtime) -> dict[str, Any]:
    api: FastAPI = create_api(runtime)
    return api.openapi()


@pytest.mark.parametrize("route", ENDPOINTS, ids=named)
def test_a_route_is_declared_whole(route: Endpoint) -> None:
    policy = route.policy
    assert route.summary, "no summary"
    assert route.description, "no docstring"
    assert policy.needs is not None or route.path in OPEN, "no owner check"
    is_empty = route.status_code == 204
    is_no_json = route.path.endswith(("/qr", "/events", "/report")) or "/tus" in route.path
    assert route.response_model is not None or is_empty or is_no_json, "no response model"
    assert 422 in route.responses
    assert 429 in route.responses
    if policy.needs is not None:
        assert {401, 403} <= set(route.responses)


@pytest.mark.parametrize("route", ENDPOINTS, ids=named)
def test_a_list_is_paged(route: Endpoint) -> None:
    model = route.response_model
    is_list = isinstance(model, type) and "items" in getattr(model, "model_fields", {})
    assert not str(model).startswith("list["), "a list without pages"
    if is_list:
        parameters = {one.name for one in route.dependant.query_params}
        for dependency in route.dependant.dependencies:
            parameters |= {one.name for one in dependency.query_params}
        assert "limit" in parameters
        assert parameters & {"cursor", "skip"}


def test_the_document_names_every_problem_that_it_refers_to(document: dict[str, Any]) -> None:
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status[0] in "45":
                assert "application/problem+json" in response["content"], (method, path, status)


def fill(path: str, foreign: dict[str, str]) -> str:
    for name, value in foreign.items():
        path = path.replace("{" + name + "}", value)
    return path


# What each slice's tests say of it: `tests/<slice>/foreign.py`.
TOLD = [importlib.import_module(f"tests.{one.name}.foreign") for one in SLICES]
BODIES: dict[str, Any] = {route: body for told in TOLD for route, body in told.BODIES.items()}
HEADERS: dict[str, dict[str, str]] = {
    route: headers for told in TOLD for route, headers in getattr(told, "HEADERS", {}).items()
}
# The caller chooses this name, so there is nothing of others in it.
OWN_NAMES = {
    "PUT /files/recipes/{name}",
    "PUT /layouts/{layout_key}",
    "PUT /notification-categories/{category_key}",
    "PUT /templates/{template_key}",
    "PUT /topics/{topic_key}",
}


@pytest.fixture
async def foreign(make: Maker) -> dict[str, str]:
    """Ids of things in workspaces that the caller has nothing to do with."""
    found: dict[str, str] = {}
    for told in TOLD:
        found |= await told.foreign(make)
    return found


WITH_ID = [route for route in ENDPOINTS if "{" in route.path and named(route) not in OWN_NAMES]
CLOSED = [route for route in ENDPOINTS if route.path not in OPEN]


async def call(client: httpx.AsyncClient, route: Endpoint, path: str) -> httpx.Response:
    method = next(iter(route.methods or ()))
    headers = HEADERS.get(named(route))
    return await client.request(method, f"/api/v1{path}", json=body_for(route), headers=headers)


def body_for(route: Endpoint) -> Any:
    """A body that is good enough to get past the schema where the route wants one."""
    if route.body_field is None:
        return None
    return BODIES.get(named(route), {})


@pytest.mark.parametrize("route", WITH_ID, ids=named)
async def test_a_foreign_id_is_404(
    client: httpx.AsyncClient, foreign: dict[str, str], route: Endpoint
) -> None:
    path = fill(route.path, foreign)
    assert "{" not in path, "name this id in the foreign.py of the slice's tests"
    answer = await call(client, route, path)
    assert answer.status_code == 404, answer.text
    assert "example.com" not in answer.text


@pytest.mark.parametrize("route", CLOSED, ids=named)
async def test_without_a_key_it_is_401(
    stranger: httpx.AsyncClient, foreign: dict[str, str], route: Endpoint
) -> None:
    answer = await call(stranger, route, fill(route.path, foreign))
    assert answer.status_code == 401


@pytest.mark.parametrize("route", CLOSED, ids=named)
async def test_with_a_revoked_key_it_is_401(
    app: App, make: Maker, foreign: dict[str, str], route: Endpoint
) -> None:
    key = await make.key()
    async with make.runtime.parts.db.begin() as tx:
        await tx.execute("UPDATE api_keys SET revoked_at = now() WHERE digest = $1", digest_of(key))
    async with client_of(app, key) as client:
        answer = await call(client, route, fill(route.path, foreign))
    assert answer.status_code == 401


def digest_of(key: str) -> bytes:
    from posthouse.accounts import apikeys

    return cast("bytes", apikeys.digest(key))


@pytest.mark.parametrize("route", CLOSED, ids=named)
async def test_a_lower_role_or_another_scope_is_403(
    app: App, make: Maker, foreign: dict[str, str], route: Endpoint
) -> None:
    needs = route.policy.needs
    assert needs is not None
    if needs.name == "self":
        pytest.skip("who may call at all may ask who it is")
    keys = [await make.key(scopes=frozenset({"nothing:at-all"}))]
    lower = [role for role in Role if role.rank < needs.least_role.rank]
    keys += [await make.key(role=role) for role in lower]
    for key in keys:
        async with client_of(app, key) as client:
            answer = await call(client, route, fill(route.path, foreign))
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("route", [one for one in ENDPOINTS if one.body_field], ids=named)
async def test_no_field_of_an_answer_can_be_slipped_in(
    app: App, make: Maker, foreign: dict[str, str], route: Endpoint
) -> None:
    outputs = {
        name
        for one in ENDPOINTS
        for name in getattr(one.response_model, "model_fields", {})
        if name not in {"items", "next_cursor"}
    }
    assert route.body_field is not None
    schema = cast("Any", route.body_field).field_info.annotation
    async with client_of(app, await make.key()) as client:
        method = next(iter(route.methods or ()))
        path = f"/api/v1{fill(route.path, foreign)}"
        extra = sorted(outputs - set(schema.model_fields))
        # An answer names at most twenty problems.
        for some in (extra[start : start + 12] for start in range(0, len(extra), 12)):
            answer = await client.request(method, path, json=dict.fromkeys(some, "x"))
            codes = {(one["field"], one["code"]) for one in answer.json()["errors"]}
            assert {(f"body.{name}", "unknown-field") for name in some} <= codes, answer.text
