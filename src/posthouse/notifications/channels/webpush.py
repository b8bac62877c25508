"""Push messages to browsers, each by the push service that the browser chose.

The endpoint in a subscription comes from a stranger, so it is called as strangers' addresses are;
and what an unknown service answers stops neither the provider nor anybody else's messages.
Sources: RFC 8030 (TTL, Urgency, Topic), RFC 8291 and RFC 8188 (encryption), RFC 8292 (VAPID).
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import http_ece  # pyright: ignore[reportMissingTypeStubs]
import httpcore
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from posthouse.kernel.outbound import (
    Answer,
    OutboundFailedError,
    OutboundRefusedError,
    OutboundTimeoutError,
)
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.web import retry_after_s
from posthouse.notifications.errors import ProviderInvalidError
from posthouse.notifications.model import (
    Accepted,
    Failure,
    Outcome,
    Outgoing,
    PushContent,
    Refused,
    Unknown,
)

# RFC 8291 section 4: 4096 bytes with the header of 86, the tag of 16 and the delimiter.
MAX_PAYLOAD_BYTES = 3993
_MAX_TTL_S = 2_419_200
_TOKEN_S = 43_200
_TOKEN_KEPT_S = 36_000.0
_MAX_TOKENS = 1000
_MAX_DETAIL = 300
_POINT_BYTES, _SECRET_BYTES, _KEY_BYTES = 65, 16, 32
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_OK, _BAD, _TOO_MANY, _SERVER = 200, 300, 429, 500
_GONE = frozenset({404, 410})
_REFUSED_US = frozenset({401, 403})
SERVICES = (
    "fcm.googleapis.com", "push.services.mozilla.com", "notify.windows.com", "push.apple.com",
)  # fmt: skip
"""The push services of browsers: what they say of our key is believed."""


class WebPushOptions(BaseModel):
    """Who sends, for the operators of push services."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[
        str, StringConstraints(pattern=r"^(mailto:[!-~]+@[!-~]+|https://[!-~]+)$", max_length=320)
    ] = Field(description="How to reach you: a mailto: or https: URL.")
    public_key: str | None = Field(
        None,
        max_length=100,
        description="What browsers subscribe with (`applicationServerKey`); it is filled in.",
    )


class WebPushSecrets(BaseModel):
    """The private key that all subscriptions are bound to."""

    model_config = ConfigDict(extra="forbid")

    vapid_key: SecretStr | None = Field(
        None,
        max_length=4096,
        description="A P-256 private key, 32 bytes in base64url or PEM. Without one it is made.",
    )


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a browser gives out: where to send and whom to encrypt for."""

    endpoint: str
    point: bytes
    secret: bytes

    @classmethod
    def of(cls, text: str) -> "Subscription":
        """Read a subscription as `PushSubscription.toJSON()` writes it.

        Raises:
            ValueError: it is none.
        """
        found: Any = json.loads(text)
        keys = cast("dict[str, Any]", found["keys"])
        endpoint = found["endpoint"]
        if not isinstance(endpoint, str) or not urlsplit(endpoint).hostname:
            raise ValueError("endpoint")
        point, secret = _decoded(str(keys["p256dh"])), _decoded(str(keys["auth"]))
        if len(point) != _POINT_BYTES or len(secret) != _SECRET_BYTES:
            raise ValueError("keys")
        # The point must lie on the curve, or it cannot be encrypted for.
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return cls(endpoint, point, secret)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def fresh_key() -> str:
    """Make a private key."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return _encoded(number.to_bytes(_KEY_BYTES, "big"))


def read_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key, in base64url or PEM.

    Raises:
        ProviderInvalidError: it is none of P-256.
    """
    where = "body.secrets.vapid_key"
    try:
        if "-----BEGIN" in text:
            key = load_pem_private_key(text.strip().encode(), password=None)
        else:
            raw = _decoded(text.strip())
            is_whole = len(raw) == _KEY_BYTES
            number = int.from_bytes(raw, "big") if is_whole else 0
            key = ec.derive_private_key(number, ec.SECP256R1())
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error) as error:
        raise ProviderInvalidError(where, "This is no private key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ProviderInvalidError(where, "It must be a key of P-256.")
    return key


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    """The public half, as browsers take it."""
    raw = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _encoded(raw)


@dataclass(slots=True)
class Vapid:
    """Says who we are, to each push service in its own words, for some hours (RFC 8292)."""

    key: ec.EllipticCurvePrivateKey
    subject: str
    around: Surroundings
    _public: str = field(default="", init=False)
    _tokens: dict[str, tuple[float, str]] = field(
        default_factory=dict[str, tuple[float, str]], init=False, repr=False
    )

    def header(self, endpoint: str) -> str:
        """The `Authorization` for an endpoint."""
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        clock = self.around.clock
        until, kept = self._tokens.get(origin, (0.0, ""))
        if clock.monotonic() < until:
            return kept
        self._public = self._public or public_key(self.key)
        expires_s = int(clock.epoch_s()) + _TOKEN_S
        claims = {"aud": origin, "exp": expires_s, "sub": self.subject}
        token = jwt.encode(claims, self.key, algorithm="ES256")
        made = f"vapid t={token}, k={self._public}"
        if len(self._tokens) >= _MAX_TOKENS:
            self._tokens.clear()
        self._tokens[origin] = (clock.monotonic() + _TOKEN_KEPT_S, made)
        return made


@dataclass(frozen=True, slots=True)
class WebPush:
    """Sends push messages to browsers; `services` are the hosts that are believed."""

    around: Surroundings
    vapid: Vapid
    services: Sequence[str] = SERVICES

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one push message."""
        if not isinstance(outgoing.content, PushContent):
            return Refused(Failure.PERMANENT, "content-invalid", "This is no push message.")
        try:
            subscription = Subscription.of(outgoing.address)
        except (ValueError, TypeError, KeyError, RecursionError):
            return Refused(Failure.PERMANENT, "subscription-invalid", "It cannot be read.")
        is_secure = subscription.endpoint.startswith("https://")
        if not is_secure and not self.around.hosts.allows_private:
            return Refused(Failure.PERMANENT, "endpoint-refused", "It must be an https URL.")
        payload = payload_of(outgoing.content)
        if len(payload) > MAX_PAYLOAD_BYTES:
            return Refused(Failure.PERMANENT, "too-large", f"More than {MAX_PAYLOAD_BYTES} bytes.")
        body: bytes = cast("Any", http_ece).encrypt(
            payload,
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=subscription.point,
            auth_secret=subscription.secret,
            version="aes128gcm",
        )
        headers = self._headers(outgoing, subscription.endpoint)
        return await self._post(subscription.endpoint, headers, body)

    async def close(self) -> None:
        """Nothing is kept open."""

    def _headers(self, outgoing: Outgoing, endpoint: str) -> dict[str, str]:
        ttl_s = _MAX_TTL_S
        if outgoing.expires_at is not None:
            left_s = (outgoing.expires_at - self.around.clock.now()).total_seconds()
            ttl_s = min(max(0, int(left_s)), _MAX_TTL_S)
        headers = {
            "Authorization": self.vapid.header(endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl_s),
            "Urgency": "high" if outgoing.is_urgent else "normal",
        }
        if outgoing.collapse:
            headers["Topic"] = topic_of(outgoing.collapse)
        return headers

    async def _post(self, endpoint: str, headers: dict[str, str], body: bytes) -> Outcome:
        host = urlsplit(endpoint).hostname or ""
        is_believed = any(host == one or host.endswith(f".{one}") for one in self.services)
        try:
            answer = await self.around.strangers.request(
                "POST", endpoint, headers=headers, body=body
            )
        except OutboundRefusedError as error:
            return Refused(Failure.PERMANENT, "endpoint-refused", error.detail)
        except (OutboundFailedError, OutboundTimeoutError) as error:
            if _is_unsent(error.__cause__):
                return Refused(
                    Failure.TRANSIENT, "connect-failed", error.title, is_strangers=not is_believed
                )
            return Unknown(error.code, error.title, is_strangers=not is_believed)
        return self._read(answer, is_believed=is_believed)

    def _read(self, answer: Answer, *, is_believed: bool) -> Outcome:
        if _OK <= answer.status < _BAD:
            return Accepted()
        code, text = str(answer.status), answer.body[:_MAX_DETAIL].decode("utf-8", "replace")
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), self.around.clock)
        failure = Failure.PERMANENT
        if answer.status >= _SERVER:
            failure = Failure.TRANSIENT
        elif answer.status == _TOO_MANY:
            failure = Failure.THROTTLED if is_believed else Failure.TRANSIENT
        elif answer.status in _REFUSED_US and is_believed:
            failure = Failure.CONFIG
        is_gone = answer.status in _GONE
        return Refused(
            failure,
            code,
            text,
            retry_after_s=wait_s,
            is_address_bad=is_gone,
            is_strangers=not is_believed,
        )


def _is_unsent(cause: BaseException | None) -> bool:
    """Whether a request failed before there was a connection, or while its name was looked up."""
    if isinstance(cause, httpcore.ConnectError | httpcore.ConnectTimeout | UnicodeError):
        return True
    return isinstance(cause, OSError) and not isinstance(cause, TimeoutError)


def payload_of(content: PushContent) -> bytes:
    """What a service worker is handed: JSON."""
    shown: dict[str, Any] = {"title": content.title, "body": content.body}
    if content.url:
        shown["url"] = content.url
    if content.data:
        shown["data"] = content.data
    return json.dumps(shown, separators=(",", ":")).encode()


def topic_of(collapse: str) -> str:
    """A topic of at most 32 characters (RFC 8030 section 5.4); the same for the same text."""
    if _TOPIC.fullmatch(collapse):
        return collapse
    digest = hashlib.sha256(collapse.encode("utf-8", "replace")).digest()
    return _encoded(digest)[:32]


def complete(
    options: WebPushOptions, secrets: WebPushSecrets
) -> tuple[WebPushOptions, WebPushSecrets]:
    """Make a key if there is none, and say its public half.

    Raises:
        ProviderInvalidError: the key cannot be used.
    """
    text = secrets.vapid_key.get_secret_value() if secrets.vapid_key else fresh_key()
    shown = public_key(read_key(text))
    return (
        options.model_copy(update={"public_key": shown}),
        secrets.model_copy(update={"vapid_key": SecretStr(text)}),
    )


def open_webpush(
    options: WebPushOptions, secrets: WebPushSecrets, around: Surroundings
) -> Provider:
    """Open a provider that sends to browsers.

    Raises:
        ProviderInvalidError: the key is missing or cannot be used.
    """
    if secrets.vapid_key is None:
        raise ProviderInvalidError("body.secrets.vapid_key", "It needs a key.")
    key = read_key(secrets.vapid_key.get_secret_value())
    return WebPush(around, Vapid(key, options.subject, around))
