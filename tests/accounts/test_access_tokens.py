"""Only our own access tokens are taken: the known attacks on JWT (RFC 8725) are refused."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from posthouse.accounts.model import SESSION, USER, WORKSPACE, Session, SessionId, UserId
from posthouse.accounts.tokens import AccessTokens
from posthouse.kernel import ids
from posthouse.kernel.auth import Role, UnauthenticatedError
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.edge import App
from posthouse.kernel.signing import derive_key
from tests.accounts.people import Person, add, caller_at, tokens_of
from tests.conftest import SECRET
from tests.fakes import FrozenClock

KEY = derive_key(SECRET, "access-token")
HEADER = {"alg": "HS256", "typ": "at+jwt"}


def part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(claims: Any, header: Any = HEADER, *, key: bytes = KEY, digest: str = "sha256") -> str:
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(key, signed.encode(), digest).digest())}"


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
async def person(client: httpx.AsyncClient) -> Person:
    return await add(client)


@pytest.fixture
async def token(person: Person, app: App) -> str:
    return (await tokens_of(app, person))["access_token"]


@pytest.fixture
async def is_taken(app: App) -> AsyncGenerator[Callable[[str], Any]]:
    async with caller_at(app) as visitor:

        async def ask(token: str) -> bool:
            response = await visitor.get("/me", headers={"Authorization": f"Bearer {token}"})
            if response.status_code == 401:
                assert response.json()["code"] == "unauthenticated"
                assert response.headers["www-authenticate"].startswith("Bearer")
            return {200: True, 401: False}[response.status_code]

        yield ask


Ask = Callable[[str], Any]


async def test_a_token_made_of_the_same_parts_is_taken(token: str, is_taken: Ask) -> None:
    assert await is_taken(token)
    assert await is_taken(forge(claims_of(token)))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"alg": "HS256"},
        HEADER | {"typ": "JWT"},
        HEADER | {"typ": None},
        HEADER | {"alg": "none"},
        HEADER | {"alg": "RS256"},
        HEADER | {"alg": "ES256"},
        HEADER | {"alg": "HS384"},
        HEADER | {"alg": "hs256"},
        HEADER | {"alg": ["HS256"]},
        HEADER | {"kid": "../../dev/null"},
        HEADER | {"kid": "1' UNION SELECT 'secret' --"},
        HEADER | {"jku": "https://evil.example/keys"},
        HEADER | {"x5u": "https://evil.example/cert"},
        HEADER | {"jwk": {"kty": "oct", "k": part(b"evil")}},
        HEADER | {"x5c": ["MII"]},
        HEADER | {"crit": ["exp"]},
        HEADER | {"crit": ["b64"], "b64": False},
        HEADER | {"zip": "DEF"},
        HEADER | {"cty": "JWT"},
        [],
        "HS256",
        b"{not json",
    ],
)
async def test_another_header_is_refused(token: str, is_taken: Ask, header: Any) -> None:
    assert not await is_taken(forge(claims_of(token), header))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_a_signature_is_refused(token: str, is_taken: Ask, name: str) -> None:
    _, body, signature = token.split(".")
    header = part({"alg": name, "typ": "at+jwt"})
    assert not await is_taken(f"{header}.{body}.")
    assert not await is_taken(f"{header}.{body}")
    assert not await is_taken(f"{header}.{body}.{signature}")


@pytest.mark.parametrize("digest", ["sha384", "sha512", "sha1"])
async def test_another_digest_of_the_right_key_is_refused(
    token: str, is_taken: Ask, digest: str
) -> None:
    for name in ("HS256", f"HS{digest[3:]}"):
        assert not await is_taken(forge(claims_of(token), HEADER | {"alg": name}, digest=digest))


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"secret",
        b"secret123",
        SECRET.encode(),
        derive_key(SECRET, "cursor"),
        derive_key("another secret of thirty-two bytes or more", "access-token"),
        hashlib.sha256(KEY).digest(),
    ],
)
async def test_another_key_is_refused(token: str, is_taken: Ask, key: bytes) -> None:
    assert not await is_taken(forge(claims_of(token), key=key))


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "nbf", "iat", "sub", "sid", "wsp", "jti"])
async def test_each_claim_is_needed(token: str, is_taken: Ask, claim: str) -> None:
    claims = claims_of(token)
    assert not await is_taken(forge({name: claims[name] for name in claims if name != claim}))
    wrong: tuple[Any, ...] = (None, [], {}, True, 1e300)
    for value in wrong:
        assert not await is_taken(forge(claims | {claim: value})), value


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["2000000000", 2e9, True, [2_000_000_000], {}])
async def test_times_are_whole_numbers(
    token: str, is_taken: Ask, claim: str, value: object
) -> None:
    assert not await is_taken(forge(claims_of(token) | {claim: value}))


async def test_a_token_of_somebody_else_s_issuer_or_audience_is_refused(
    token: str, is_taken: Ask
) -> None:
    claims = claims_of(token)
    for changed in (
        {"iss": "https://evil.example"},
        {"iss": [claims["iss"]]},
        {"iss": claims["iss"] + "/"},
        {"aud": "https://evil.example/api"},
        {"aud": [claims["aud"]]},
        {"aud": [claims["aud"], "https://evil.example/api"]},
        {"aud": claims["iss"]},
    ):
        assert not await is_taken(forge(claims | changed)), changed


async def test_thirty_seconds_of_another_clock_are_forgiven(token: str, is_taken: Ask) -> None:
    claims, now = claims_of(token), int(SystemClock().epoch_s())
    assert await is_taken(forge(claims | {"exp": now - 15}))
    assert not await is_taken(forge(claims | {"exp": now - 31}))
    assert await is_taken(forge(claims | {"nbf": now + 15, "iat": now + 15}))
    assert not await is_taken(forge(claims | {"nbf": now + 60}))
    assert not await is_taken(forge(claims | {"iat": now + 60}))


async def test_user_session_and_workspace_must_belong_together(
    client: httpx.AsyncClient, app: App, token: str, is_taken: Ask
) -> None:
    claims = claims_of(token)
    other = claims_of((await tokens_of(app, await add(client)))["access_token"])
    for changed in (
        {"sub": other["sub"]},
        {"sid": other["sid"]},
        {"wsp": WORKSPACE.show(ids.fresh())},
        {"sid": SESSION.show(ids.fresh())},
        {"sub": claims["sid"]},
        {"sub": claims["sub"].upper()},
        {"sub": "usr_"},
        {"sid": "ses_" + "0" * 27},
    ):
        assert not await is_taken(forge(claims | changed)), changed


async def test_what_is_no_jwt_is_refused(token: str, is_taken: Ask) -> None:
    header, body, signature = token.split(".")
    for text in (
        "x",
        ".",
        "..",
        f"{header}..{signature}",
        f"{token}.",
        f"{token}.{signature}.{signature}",
        f"{header}.{body}.{signature}=",
        f"{header}.{body}.{signature[:-4]}",
        f"{header}.{part([])}.{signature}",
        forge([]),
        forge("text"),
        forge(b"[" * 3000),
        forge(b"{"),
        "ph_live_" + "0" * 49,
        "ph_refresh_" + "a" * 43,
        token[:-1] + ("A" if token[-1] != "A" else "B") * 2,
        "a" * 5000,
    ):
        assert not await is_taken(text), text[:80]


async def test_a_refresh_token_is_no_access_token(person: Person, app: App, is_taken: Ask) -> None:
    tokens = await tokens_of(app, person)
    assert not await is_taken(tokens["refresh_token"])


def test_a_token_ends_when_its_life_is_over() -> None:
    clock = FrozenClock()
    tokens = AccessTokens.of(SECRET, "https://house.example", 900, clock)
    session = Session(SessionId(ids.fresh()), UserId(ids.fresh()), ids.fresh(), Role.VIEWER)  # type: ignore[arg-type]
    token = tokens.issue(session)
    assert claims_of(token)["sub"] == USER.show(session.user_id)
    clock.advance(929)
    assert tokens.read(token).session_id == session.id
    clock.advance(2)
    with pytest.raises(UnauthenticatedError):
        tokens.read(token)
    clock.moment -= timedelta(seconds=931 + 31)
    with pytest.raises(UnauthenticatedError):
        tokens.read(token)
