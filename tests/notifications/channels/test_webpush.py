"""Push to browsers: what is sent decrypts, is signed, and a stranger's answer harms nobody else."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import pywebpush  # pyright: ignore[reportMissingTypeStubs]
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from posthouse.kernel.outbound import Outbound
from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.channels.webpush import (
    MAX_PAYLOAD_BYTES,
    WebPush,
    fresh_key,
    public_key,
    read_key,
    topic_of,
)
from posthouse.notifications.errors import ProviderInvalidError
from posthouse.notifications.model import (
    Accepted,
    Failure,
    PushContent,
    Refused,
)
from tests.fakes import FrozenClock
from tests.notifications.channels.rigs import (
    BROWSER,
    Rig,
    around,
    decrypted,
    opened,
    rig_of,
    subscription,
)
from tests.notifications.channels.servers import Asked, Said, StubHttp

SUBJECT = "mailto:it@shop.example"


def claims(asked: Asked, origin: str) -> tuple[dict[str, Any], str]:
    """What a push service reads of us (RFC 8292), with the signature checked."""
    scheme, _, rest = asked.headers["authorization"].partition(" ")
    assert scheme == "vapid"
    parts = dict(one.strip().split("=", 1) for one in rest.split(","))
    raw = base64.urlsafe_b64decode(parts["k"] + "=" * (-len(parts["k"]) % 4))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    return jwt.decode(parts["t"], key, algorithms=["ES256"], audience=origin), parts["k"]


def side_of(rig: Rig) -> StubHttp:
    assert isinstance(rig.side, StubHttp)
    return rig.side


async def test_a_message_decrypts_and_is_signed(tmp_path: Path) -> None:
    async with rig_of("webpush", tmp_path) as rig:
        assert isinstance(await rig.provider.send(rig.outgoing), Accepted)
        (asked,) = side_of(rig).asked
        found, public = claims(asked, side_of(rig).url)
        assert isinstance(rig.provider, WebPush)
        assert public == public_key(rig.provider.vapid.key)
    assert decrypted(asked) == {
        "title": "Hello",
        "body": "Hello there",
        "url": "https://shop.example/1",
        "data": {"order": "1"},
    }
    assert found["sub"] == SUBJECT
    assert asked.headers["content-encoding"] == "aes128gcm"
    assert asked.headers["ttl"] == "2419200"
    assert asked.headers["urgency"] == "normal"
    assert asked.headers["topic"] == "order-1"


async def test_it_is_what_pywebpush_sends(tmp_path: Path) -> None:
    """The oracle: the same payload and key, by the library that everybody uses."""
    async with rig_of("webpush", tmp_path) as rig:
        await rig.provider.send(rig.outgoing)
        (ours,) = side_of(rig).asked
        assert isinstance(rig.provider, WebPush)
        key = rig.provider.vapid.key
        found = json.loads(rig.outgoing.address)
        pusher = pywebpush.WebPusher(found)
        theirs = pusher.encode(b'{"title":"x"}', "aes128gcm")
        raw = key.private_numbers().private_value.to_bytes(32, "big")
        vapid = pywebpush.Vapid.from_raw(base64.urlsafe_b64encode(raw).rstrip(b"="))
        parts = urlsplit(found["endpoint"])
        origin = f"{parts.scheme}://{parts.netloc}"
        headers = vapid.sign({"sub": SUBJECT, "aud": origin})
        signed = Asked("POST", "/", {"authorization": headers["Authorization"]}, theirs["body"])
    assert decrypted(signed) == {"title": "x"}
    by_us, by_them = claims(ours, origin), claims(signed, origin)
    assert by_us[1] == by_them[1].rstrip("=")
    assert set(by_us[0]) == set(by_them[0])
    # Of the header of RFC 8188, all but the salt and the key of one message is the same.
    assert ours.body[16:21] == theirs["body"][16:21]


@pytest.mark.parametrize(("left_s", "ttl"), [(60, "60"), (-1, "0"), (10**8, "2419200")])
async def test_an_end_becomes_a_ttl(tmp_path: Path, left_s: int, ttl: str) -> None:
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with rig_of("webpush", tmp_path, clock=clock) as rig:
        at = clock.now() + timedelta(seconds=left_s)
        await rig.provider.send(replace(rig.outgoing, expires_at=at, is_urgent=True))
        (asked,) = side_of(rig).asked
    assert (asked.headers["ttl"], asked.headers["urgency"]) == (ttl, "high")


async def test_a_token_is_made_once_for_a_service_and_ends(tmp_path: Path) -> None:
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with rig_of("webpush", tmp_path, clock=clock) as rig:
        for wait_s in (0, 35_000, 2_000):
            clock.advance(wait_s)
            await rig.provider.send(rig.outgoing)
        first, second, third = (asked.headers["authorization"] for asked in side_of(rig).asked)
    assert first == second != third


P, T, H, C = Failure.PERMANENT, Failure.TRANSIENT, Failure.THROTTLED, Failure.CONFIG
ROWS = [
    (404, P, P, True),
    (410, P, P, True),
    (413, P, P, False),
    (400, P, P, False),
    (301, P, P, False),
    (500, T, T, False),
    (503, T, T, False),
    (429, H, T, False),
    (401, C, P, False),
    (403, C, P, False),
]


@pytest.mark.parametrize(("status", "known", "unknown", "is_bad"), ROWS)
async def test_an_error_has_its_class_and_an_unknown_service_stops_nobody(
    tmp_path: Path, status: int, known: Failure, unknown: Failure, is_bad: bool
) -> None:
    said = Said(status, b"", (("Retry-After", "7"), ("Location", "http://127.0.0.1:1/")))
    async with rig_of("webpush", tmp_path) as rig:
        side_of(rig).answering = lambda _: said
        assert isinstance(rig.provider, WebPush)
        for provider, failure in (
            (rig.provider, known),
            (replace(rig.provider, services=("push.example",)), unknown),
        ):
            outcome = await provider.send(rig.outgoing)
            assert isinstance(outcome, Refused)
            assert (outcome.failure, outcome.is_address_bad) == (failure, is_bad)
            assert outcome.retry_after_s == 7


@pytest.mark.parametrize(
    "address",
    [
        *("", "{}", "[]", "x", "null", '{"endpoint": 1}', "[" * 5000),
        subscription("https://a.example").replace('"auth": "', '"auth": "x'),
        subscription("https://a.example").replace('"p256dh": "B', '"p256dh": "C'),
        subscription("not a url"),
    ],
)
async def test_what_is_no_subscription_is_refused_but_not_bad(tmp_path: Path, address: str) -> None:
    async with rig_of("webpush", tmp_path) as rig:
        outcome = await rig.provider.send(replace(rig.outgoing, address=address))
        assert isinstance(outcome, Refused)
        assert (outcome.failure, outcome.is_address_bad) == (Failure.PERMANENT, False)
        assert side_of(rig).asked == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1/", "http://push.example/", "https://127.0.0.1/", "https://[::1]/"],
)
async def test_a_strangers_endpoint_leads_into_no_private_network(
    tmp_path: Path, endpoint: str
) -> None:
    where = around(tmp_path, hosts=Hosts(), strangers=Outbound())
    provider = opened("webpush", {"subject": SUBJECT}, {}, where)
    async with rig_of("webpush", tmp_path) as rig:
        outcome = await provider.send(replace(rig.outgoing, address=subscription(endpoint)))
    assert isinstance(outcome, Refused)
    assert (outcome.failure, outcome.code) == (Failure.PERMANENT, "endpoint-refused")
    assert not outcome.is_address_bad


@pytest.mark.parametrize(
    ("size", "is_fine"), [(MAX_PAYLOAD_BYTES, True), (MAX_PAYLOAD_BYTES + 1, False)]
)
async def test_a_payload_has_a_size(tmp_path: Path, size: int, is_fine: bool) -> None:
    body = "x" * (size - len('{"title":"","body":""}'))
    async with rig_of("webpush", tmp_path) as rig:
        outcome = await rig.provider.send(replace(rig.outgoing, content=PushContent("", body)))
        assert isinstance(outcome, Accepted) is is_fine
        assert all(len(asked.body) <= 4096 for asked in side_of(rig).asked)


def test_a_key_is_made_and_its_public_half_told() -> None:
    kind = KINDS["webpush"]
    assert kind.complete is not None
    options = kind.options.model_validate({"subject": SUBJECT})
    options, secrets = kind.complete(options, kind.secrets.model_validate({}))
    assert len(base64.urlsafe_b64decode(options.public_key + "=")) == 65
    again, _ = kind.complete(options, secrets)
    assert again.public_key == options.public_key


def test_keys_are_read_in_both_forms() -> None:
    pem = BROWSER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    raw = BROWSER.private_numbers().private_value.to_bytes(32, "big")
    text = base64.urlsafe_b64encode(raw).decode()
    assert public_key(read_key(pem)) == public_key(read_key(text)) == public_key(BROWSER)
    assert fresh_key() != fresh_key()
    for bad in ("", "AAAA", "A" * 43, "-----BEGIN x"):
        with pytest.raises(ProviderInvalidError):
            read_key(bad)


def test_a_topic_has_at_most_32_characters_of_base64url() -> None:
    assert topic_of("order-1") == "order-1"
    made = topic_of("order 1 of Ännchen " * 5)
    assert len(made) == 32
    assert made == topic_of("order 1 of Ännchen " * 5)
