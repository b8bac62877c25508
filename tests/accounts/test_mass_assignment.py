"""What the server decides cannot be sent: each field of an answer, in each body."""

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from posthouse.accounts import schemas
from posthouse.kernel.edge import App
from tests.accounts.people import PASSWORD, add, caller_at, codes_of, fresh_email, log_in

OUT: tuple[type[BaseModel], ...] = (
    schemas.TokensOut,
    schemas.UserOut,
    schemas.MemberOut,
    schemas.MeOut,
    schemas.KeyMade,
    schemas.AuditOut,
)
HIDDEN = {"is_admin", "workspace_id", "user_id", "password_hash", "digest", "user_version"}
SERVER_S = sorted(HIDDEN.union(*(model.model_fields for model in OUT)))

BODIES: list[tuple[str, str, type[BaseModel], dict[str, Any]]] = [
    ("POST", "/login", schemas.LoginIn, {"username": "a@example.com", "password": PASSWORD}),
    ("POST", "/login/refresh", schemas.RefreshTokenIn, {"refresh_token": "x"}),
    ("PATCH", "/me", schemas.MePatch, {"name": "Bo"}),
    (
        "POST",
        "/users",
        schemas.UserIn,
        {"email": fresh_email(), "name": "Bo", "password": PASSWORD},
    ),
    ("PATCH", "/members/{id}", schemas.MemberPatch, {"role": "viewer"}),
    ("POST", "/keys", schemas.KeyIn, {"name": "k"}),
]


@pytest.mark.parametrize(("method", "path", "model", "body"), BODIES)
async def test_no_body_takes_a_field_of_the_server(
    client: httpx.AsyncClient,
    app: App,
    method: str,
    path: str,
    model: type[BaseModel],
    body: dict[str, Any],
) -> None:
    person = await add(client, role="admin")
    token = (await log_in(app, person)).headers["authorization"].split()[1]
    forbidden = [name for name in SERVER_S if name not in model.model_fields]
    assert len(forbidden) > 15
    for name in forbidden:
        async with caller_at(app, token=token) as caller:
            response = await caller.request(
                method, path.format(id=person.id), json={**body, name: "x"}
            )
        assert response.status_code == 422, name
        assert codes_of(response) == {f"body.{name}": "unknown-field"}


def test_every_body_is_here() -> None:
    taken = {
        kind
        for kind in vars(schemas).values()
        if isinstance(kind, type)
        and issubclass(kind, BaseModel)
        and kind.__name__.endswith(("In", "Patch"))
    }
    assert taken == {model for _, _, model, _ in BODIES}
    assert all(model.model_config.get("extra") == "forbid" for model in taken)
