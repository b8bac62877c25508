"""What we sign is verified by a library that others wrote, and no change to it is."""

import base64
import hashlib
import re
from collections.abc import Callable

import dkim  # pyright: ignore[reportMissingTypeStubs]
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dkim.util import parse_tag_value  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.notifications.channels.dkim import DkimSigner, KeyUnusableError, read_key
from posthouse.notifications.mime import Mailbox, Skeleton
from posthouse.notifications.model import EmailContent, Outgoing
from tests.notifications.channels.test_mime import AT, TEXT

RSA = rsa.generate_private_key(65_537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
SKELETON = Skeleton(Mailbox.of("shop@shop.example", "Shop"), "=_0123456789abcdef")
UNSUBSCRIBE = (
    ("List-Unsubscribe", "<https://shop.example/-/unsubscribe/" + "a" * 80 + ">"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
)


Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def record(key: rsa.RSAPrivateKey) -> Callable[..., bytes]:
    """The DNS of the signing domain."""
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; k=rsa; p={base64.b64encode(raw).decode()}".encode()

    def look_up(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"k1._domainkey.shop.example."
        return text

    return look_up


def is_signed(message: bytes, key: Key) -> bool:
    """Verify with dkimpy; for Ed25519, which it cannot, with its reading of the message."""
    if isinstance(key, rsa.RSAPrivateKey):
        return dkim.verify(message, dnsfunc=record(key))
    headers, body = dkim.rfc822_parse(message)
    tags = parse_tag_value(headers[0][1])
    canonical = dkim.CanonicalizationPolicy.from_c_value(tags[b"c"])
    body_hash = hashlib.sha256(canonical.canonicalize_body(body)).digest()
    names = [name.strip().lower() for name in tags[b"h"].split(b":")]
    content = hashlib.sha256()
    written = canonical.canonicalize_headers(headers)
    dkim.hash_headers(content, canonical, written, [*names, b"from"], headers[0], tags)
    signature = base64.b64decode(re.sub(rb"\s", b"", tags[b"b"]))
    try:
        key.public_key().verify(signature, content.digest())
    except InvalidSignature:
        return False
    return base64.b64decode(tags[b"bh"]) == body_hash and tags[b"a"] == b"ed25519-sha256"


def signed(text: str, key: Key, html: str | None = None) -> bytes:
    outgoing = Outgoing(
        "dlv_1", "ann@example.com", EmailContent("Hé  there", text, html), "Ann", UNSUBSCRIBE
    )
    message = SKELETON.fill(outgoing, at=AT)
    return DkimSigner("k1", "shop.example", key).sign(message, AT) + message


@settings(max_examples=30)
@given(
    text=TEXT | st.text(" \t\r\n.a", max_size=50),
    key=st.sampled_from([RSA, ED]),
    html=st.none() | TEXT,
)
def test_a_signature_is_verified(text: str, key: Key, html: str | None) -> None:
    assert is_signed(signed(text, key, html), key)


@pytest.mark.parametrize("key", [RSA, ED])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"List-Unsubscribe: <https://shop", b"List-Unsubscribe: <https://evil"),
        (b"List-Unsubscribe-Post: List", b"List-Unsubscribe-Post: Lost"),
        (b"To: Ann", b"To: Bob"),
        (b"Subject: ", b"Subject: x"),
        (b"From: Shop", b"From: Eve <eve@evil.example>\r\nFrom: Shop"),
        (b"Subject: ", b"Subject: Win\r\nSubject: "),
        (b"hello", b"hallo"),
        (b"Message-ID: <dlv_1", b"Message-ID: <dlv_2"),
    ],
)
def test_no_change_is(key: Key, old: bytes, new: bytes) -> None:
    message = signed("hello", key)
    assert is_signed(message, key)
    assert old in message
    assert not is_signed(message.replace(old, new, 1), key)


def test_lines_of_the_signature_are_short() -> None:
    head = signed("x", RSA).partition(b"MIME-Version")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 120


def test_keys_are_read_in_each_form() -> None:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    traditional = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert isinstance(read_key(RSA.private_bytes(*form).decode()), rsa.RSAPrivateKey)
    assert isinstance(read_key(RSA.private_bytes(*traditional).decode()), rsa.RSAPrivateKey)
    assert isinstance(read_key(ED.private_bytes(*form).decode()), ed25519.Ed25519PrivateKey)
    raw = ED.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    assert isinstance(read_key(base64.b64encode(raw).decode()), ed25519.Ed25519PrivateKey)


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyUnusableError):
        read_key(text)
