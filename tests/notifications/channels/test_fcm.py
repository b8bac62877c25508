"""Push by FCM: tokens as Google's library gets them, messages as Google's schema has them."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import jsonschema_rs
import jwt
import pytest
from google.auth import transport
from google.oauth2 import service_account as google
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.channels.fcm import message_of
from posthouse.notifications.errors import ProviderInvalidError
from posthouse.notifications.model import (
    Accepted,
    Failure,
    Outgoing,
    PushContent,
    Refused,
)
from tests.fakes import FrozenClock
from tests.notifications.channels.rigs import (
    SAID,
    TOKEN,
    Rig,
    around,
    opened,
    rig_of,
    service_account,
)
from tests.notifications.channels.servers import Asked, Said, StubHttp
from tests.notifications.channels.test_mime import TEXT

CORPUS = Path(__file__).parents[2] / "corpora" / "fcm" / "fcm.v1.json"
AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


def schema(name: str) -> dict[str, Any]:
    """A schema of Google's discovery document as a JSON Schema that knows no other field."""
    known = json.loads(CORPUS.read_text("utf-8"))["schemas"]

    def read(one: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in one:
            return {"$ref": f"#/$defs/{one['$ref']}"}
        made: dict[str, Any] = {}
        if one.get("type") in {"object", "array", "string", "boolean", "integer", "number"}:
            made["type"] = one["type"]
        if "enum" in one:
            made["enum"] = one["enum"]
        if "items" in one:
            made["items"] = read(one["items"])
        if "properties" in one:
            made["properties"] = {key: read(value) for key, value in one["properties"].items()}
            made["additionalProperties"] = False
        if isinstance(one.get("additionalProperties"), dict):
            made["additionalProperties"] = read(one["additionalProperties"])
        return made

    return {"$ref": f"#/$defs/{name}", "$defs": {key: read(one) for key, one in known.items()}}


REQUEST = jsonschema_rs.validator_for(schema("SendMessageRequest"))


def snake_to_camel(found: Any) -> Any:
    """JSON of protocol buffers may name a field either way; the document names one."""
    if isinstance(found, dict):
        return {
            key if key in {"data", "headers"} else camel(key): value
            if key in {"data", "headers"}
            else snake_to_camel(value)
            for key, value in found.items()
        }
    return found


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(one.title() for one in rest)


@given(
    title=TEXT,
    url=st.none() | st.sampled_from(["https://shop.example/1", "shop://1"]),
    data=st.dictionaries(TEXT, TEXT, max_size=3),
    left_s=st.none() | st.integers(-10, 10**7),
    is_urgent=st.booleans(),
    collapse=TEXT,
)
def test_a_message_is_one_of_googles_schema(
    title: str,
    url: str | None,
    data: dict[str, str],
    left_s: int | None,
    is_urgent: bool,
    collapse: str,
) -> None:
    content = PushContent(title, "body", url, data)
    expires_at = None if left_s is None else AT + timedelta(seconds=left_s)
    outgoing = Outgoing(
        "k", "t", content, expires_at=expires_at, is_urgent=is_urgent, collapse=collapse
    )
    message = {"message": message_of(outgoing, content, AT)}
    REQUEST.validate(snake_to_camel(json.loads(json.dumps(message))))


def test_the_schema_refuses_what_it_does_not_know() -> None:
    assert not REQUEST.is_valid({"message": {"tokens": "x"}})
    assert not REQUEST.is_valid({"message": {"data": {"a": 1}}})
    assert not REQUEST.is_valid({"message": {"android": {"priority": "URGENT"}}})


def asserted(asked: Asked, key: Any) -> dict[str, Any]:
    """The claims of a request for a token, whose signature is checked."""
    form = parse_qs(asked.body.decode(), strict_parsing=True)
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    (assertion,) = form["assertion"]
    assert jwt.get_unverified_header(assertion)["kid"] == "k1"
    return jwt.decode(assertion, key.public_key(), algorithms=["RS256"], audience=AUDIENCE)


class Loopback(transport.Request):
    """Google's library asks through this; it only notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Any = None,
        timeout: Any = None,
        **rest: Any,
    ) -> Any:
        self.asked.append(Asked(method, url, dict(headers or {}), body))

        return SimpleNamespace(status=200, headers={}, data=TOKEN.body)


def tokens_of(rig: Rig) -> list[Asked]:
    assert isinstance(rig.side, StubHttp)
    return [asked for asked in rig.side.asked if asked.path == "/token"]


async def test_a_token_is_asked_for_as_googles_library_does(tmp_path: Path) -> None:
    async with rig_of("fcm", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        assert isinstance(await rig.provider.send(rig.outgoing), Accepted)
        (asked,) = tokens_of(rig)
        message = rig.side.asked[-1]
        account, key = service_account(f"{rig.side.url}/token")
    theirs = Loopback()
    credentials = google.Credentials.from_service_account_info(json.loads(account), scopes=[SCOPE])
    credentials.refresh(theirs)
    ours, googles = asserted(asked, key), asserted(theirs.asked[0], key)
    assert ours.pop("exp") - ours.pop("iat") == googles.pop("exp") - googles.pop("iat") == 3600
    assert ours == googles
    assert asked.headers["content-type"] == theirs.asked[0].headers["Content-Type"]
    assert message.headers["authorization"] == "Bearer t-1"
    assert message.path == "/v1/projects/shop-1/messages:send"


async def test_a_token_is_asked_for_once_and_kept(tmp_path: Path) -> None:
    clock = FrozenClock(datetime.now(UTC))  # noqa: TID251  assertions are checked by the real one
    async with rig_of("fcm", tmp_path, clock=clock) as rig:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(rig.provider.send(rig.outgoing))
        assert len(tokens_of(rig)) == 1
        clock.advance(3600 - 301)
        await rig.provider.send(rig.outgoing)
        assert len(tokens_of(rig)) == 1
        clock.advance(2)
        await rig.provider.send(rig.outgoing)
        assert len(tokens_of(rig)) == 2


async def test_a_token_that_was_taken_back_is_replaced(tmp_path: Path) -> None:
    async with rig_of("fcm", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        given = iter(["t-1", "t-2"])

        def answering(asked: Asked) -> Said:
            if asked.path == "/token":
                return Said(
                    body=json.dumps({"access_token": next(given), "expires_in": 3600}).encode()
                )
            is_old = asked.headers["authorization"] == "Bearer t-1"
            return (
                Said(401, b'{"error": {"status": "UNAUTHENTICATED"}}')
                if is_old
                else (SAID["fcm"]["accepted"])
            )

        rig.side.answering = answering
        assert isinstance(await rig.provider.send(rig.outgoing), Accepted)


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (Said(400, b'{"error": "invalid_grant", "error_description": "no"}'), Failure.CONFIG),
        (Said(401, b"{}"), Failure.CONFIG),
        (Said(500, b"oh"), Failure.TRANSIENT),
        (Said(429, b"oh"), Failure.TRANSIENT),
        (Said(200, b"oh"), Failure.TRANSIENT),
        (Said(200, b'{"access_token": "\\u00e9", "expires_in": 1}'), Failure.TRANSIENT),
        (Said(raw=b"close"), Failure.TRANSIENT),
    ],
)
async def test_without_a_token_nothing_is_sent(
    tmp_path: Path, said: Said, failure: Failure
) -> None:
    async with rig_of("fcm", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        rig.side.answering = lambda _: said
        outcome = await rig.provider.send(rig.outgoing)
        assert isinstance(outcome, Refused)
        assert outcome.failure is failure
        assert rig.received() == []


P, T, H, C = Failure.PERMANENT, Failure.TRANSIENT, Failure.THROTTLED, Failure.CONFIG
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
ROWS = [
    (400, "INVALID_ARGUMENT", P, False),
    (404, "UNREGISTERED", P, True),
    (403, "SENDER_ID_MISMATCH", P, True),
    (429, "QUOTA_EXCEEDED", H, False),
    (503, "UNAVAILABLE", T, False),
    (500, "INTERNAL", T, False),
    (401, "THIRD_PARTY_AUTH_ERROR", C, False),
    (403, None, C, False),
    (404, None, C, False),
    (429, None, H, False),
    (502, None, T, False),
    (418, None, P, False),
]


@pytest.mark.parametrize(("status", "code", "failure", "is_bad"), ROWS)
async def test_an_error_has_its_class(
    tmp_path: Path, status: int, code: str | None, failure: Failure, is_bad: bool
) -> None:
    details = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    error = {"code": status, "message": "no", "details": [7, *details]}
    said = Said(status, json.dumps({"error": error}).encode(), (("Retry-After", "5"),))
    async with rig_of("fcm", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        rig.side.answering = lambda asked: TOKEN if asked.path == "/token" else said
        outcome = await rig.provider.send(rig.outgoing)
    assert isinstance(outcome, Refused)
    assert (outcome.failure, outcome.is_address_bad) == (failure, is_bad)
    assert outcome.retry_after_s == (60 if failure is H else 5)


@pytest.mark.parametrize(
    "account", ["x", "{}", '{"client_email": "a", "private_key": "b", "project_id": "c"}']
)
def test_what_is_no_service_account_is_refused(tmp_path: Path, account: str) -> None:
    with pytest.raises(ProviderInvalidError) as caught:
        opened("fcm", {}, {"service_account": account}, around(tmp_path))
    assert caught.value.fields[0].field == "body.secrets.service_account"


async def test_a_project_can_be_named(tmp_path: Path) -> None:
    async with rig_of("fcm", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        secrets = {"service_account": service_account(f"{rig.side.url}/token")[0]}
        options = {"endpoint": rig.side.url, "project_id": "other-1"}
        provider = opened("fcm", options, secrets, around(tmp_path))
        await provider.send(replace(rig.outgoing, is_urgent=True))
        await provider.close()
        assert rig.side.asked[-1].path == "/v1/projects/other-1/messages:send"
