"""Push messages by Firebase Cloud Messaging, its HTTP v1 API.

Sources: Firebase, "FCM HTTP v1 API" and its ErrorCode; Google Identity, "Using OAuth 2.0 for
Server to Server Applications" (the signed assertion, RFC 7523).
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, cast
from urllib.parse import urlencode

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from posthouse.kernel.clock import Clock
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.web import Endpoint, Web, WebAnswer
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

# google-auth writes this audience too, whatever the address of the token endpoint is.
_AUDIENCE = "https://oauth2.googleapis.com/token"
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_S = 3600
_EARLY_S = 300.0
_MAX_TTL_S = 2_419_200
_QUOTA_WAIT_S = 60.0
_MAX_DETAIL = 500
_MAX_COLLAPSE = 64
_OK, _BAD, _UNAUTHORIZED, _NOT_FOUND, _TOO_MANY, _SERVER = 200, 300, 401, 404, 429, 500
_FAILURES = {
    "INVALID_ARGUMENT": Failure.PERMANENT,
    "UNREGISTERED": Failure.PERMANENT,
    "SENDER_ID_MISMATCH": Failure.PERMANENT,
    "UNAVAILABLE": Failure.TRANSIENT,
    "INTERNAL": Failure.TRANSIENT,
    "QUOTA_EXCEEDED": Failure.THROTTLED,
    "THIRD_PARTY_AUTH_ERROR": Failure.CONFIG,
}
_ADDRESS_BAD = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})


class FcmOptions(BaseModel):
    """A project of Firebase."""

    model_config = ConfigDict(extra="forbid")

    project_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{4,64}$")] | None = Field(
        None, description="Without one: the service account's own."
    )
    endpoint: Endpoint = "https://fcm.googleapis.com"


class FcmSecrets(BaseModel):
    """The service account, as the file that Google gives out."""

    model_config = ConfigDict(extra="forbid")

    service_account: SecretStr = Field(
        min_length=1, max_length=16_384, description="The JSON file of a service account."
    )


class _Account(BaseModel):
    client_email: str
    private_key: str
    private_key_id: str | None = None
    project_id: str | None = None
    token_uri: Endpoint = _AUDIENCE


@dataclass(slots=True)
class Tokens:
    """The access token of a service account, asked for once by all who wait for it."""

    account: Any
    key: RSAPrivateKey
    clock: Clock
    web: Web
    _token: str | None = field(default=None, init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def token(self) -> str | Refused:
        """Give a token that is good for some minutes more, or why there is none."""
        async with self._lock:
            if self._token is not None and self.clock.monotonic() < self._until:
                return self._token
            return await self._ask()

    def forget(self, token: str) -> None:
        """Ask for another one next time, unless somebody has done so."""
        if self._token == token:
            self._token = None

    async def _ask(self) -> str | Refused:
        now_s = int(self.clock.epoch_s())
        claims = {
            "iss": self.account.client_email,
            "scope": _SCOPE,
            "aud": _AUDIENCE,
            "iat": now_s,
            "exp": now_s + _ASSERTION_S,
        }
        named = {"kid": self.account.private_key_id} if self.account.private_key_id else {}
        assertion = jwt.encode(claims, self.key, algorithm="RS256", headers=named)
        body = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.web.ask("POST", self.account.token_uri, headers, body)
        if isinstance(answer, Unknown):
            # No message was sent yet, so nothing is in doubt.
            return Refused(Failure.TRANSIENT, f"token-{answer.code}", answer.detail)
        if isinstance(answer, Refused):
            return answer
        return self._read(answer)

    def _read(self, answer: WebAnswer) -> str | Refused:
        found = answer.json()
        if answer.status >= _SERVER or answer.status == _TOO_MANY:
            wait_s = answer.retry_after_s(self.clock)
            return Refused(Failure.TRANSIENT, f"token-{answer.status}", retry_after_s=wait_s)
        if answer.status >= _BAD:
            detail = str(found.get("error_description") or answer.text)[:_MAX_DETAIL]
            return Refused(Failure.CONFIG, f"token-{found.get('error') or answer.status}", detail)
        token, lasts_s = found.get("access_token"), found.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not isinstance(lasts_s, int):
            return Refused(Failure.TRANSIENT, "token-unreadable", answer.text)
        self._token = token
        self._until = self.clock.monotonic() + max(0.0, lasts_s - _EARLY_S)
        return token


@dataclass(frozen=True, slots=True)
class Fcm:
    """Sends push messages by FCM."""

    url: str
    around: Surroundings
    web: Web
    tokens: Tokens

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one push message."""
        if not isinstance(outgoing.content, PushContent):
            return Refused(Failure.PERMANENT, "content-invalid", "This is no push message.")
        message = message_of(outgoing, outgoing.content, self.around.clock.now())
        body = json.dumps({"message": message}).encode()
        answer = await self._post(body)
        if isinstance(answer, WebAnswer) and answer.status == _UNAUTHORIZED:
            # A token may be taken back before it ends: once more with a fresh one.
            answer = await self._post(body)
        return self._read(answer) if isinstance(answer, WebAnswer) else answer

    async def close(self) -> None:
        """End all connections."""
        await self.web.close()

    async def _post(self, body: bytes) -> WebAnswer | Refused | Unknown:
        token = await self.tokens.token()
        if isinstance(token, Refused):
            return token
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await self.web.ask("POST", self.url, headers, body)
        if isinstance(answer, WebAnswer) and answer.status == _UNAUTHORIZED:
            self.tokens.forget(token)
        return answer

    def _read(self, answer: WebAnswer) -> Outcome:
        found = answer.json()
        if _OK <= answer.status < _BAD:
            name = found.get("name")
            if isinstance(name, str) and name:
                return Accepted(name)
            return Unknown("unreadable-answer", answer.text)
        code, detail = _error(found)
        wait_s = answer.retry_after_s(self.around.clock)
        failure = _FAILURES.get(code) or _by_status(answer.status)
        if failure is Failure.THROTTLED:
            wait_s = max(wait_s or 0.0, _QUOTA_WAIT_S)
        return Refused(
            failure,
            code or str(answer.status),
            detail or answer.text,
            retry_after_s=wait_s,
            is_address_bad=code in _ADDRESS_BAD,
        )


def _error(found: dict[str, Any]) -> tuple[str, str]:
    """FCM's own code if there is one, else Google's status; and the text."""
    error = found.get("error")
    if not isinstance(error, dict):
        return "", ""
    error = cast("dict[str, Any]", error)
    detail = str(error.get("message") or "")[:_MAX_DETAIL]
    details = error.get("details")
    for one in cast("list[Any]", details) if isinstance(details, list) else []:
        code = cast("dict[str, Any]", one).get("errorCode") if isinstance(one, dict) else None
        if isinstance(code, str):
            return code, detail
    return str(error.get("status") or ""), detail


def _by_status(status: int) -> Failure:
    if status >= _SERVER:
        return Failure.TRANSIENT
    if status == _TOO_MANY:
        return Failure.THROTTLED
    # 404 without a code of FCM's is another project or endpoint.
    return Failure.CONFIG if status in {_UNAUTHORIZED, 403, _NOT_FOUND} else Failure.PERMANENT


def message_of(outgoing: Outgoing, content: PushContent, now: datetime) -> dict[str, Any]:
    """Write a message as FCM's schema has it."""
    ttl_s = _MAX_TTL_S
    if outgoing.expires_at is not None:
        ttl_s = min(max(0, int((outgoing.expires_at - now).total_seconds())), _MAX_TTL_S)
    data = dict(content.data)
    if content.url:
        data.setdefault("url", content.url)
    android: dict[str, Any] = {
        "priority": "HIGH" if outgoing.is_urgent else "NORMAL",
        "ttl": f"{ttl_s}s",
    }
    apple = {
        "apns-priority": "10" if outgoing.is_urgent else "5",
        "apns-expiration": str(int(now.timestamp()) + ttl_s),
    }
    web = {"TTL": str(ttl_s), "Urgency": "high" if outgoing.is_urgent else "normal"}
    if outgoing.collapse:
        android["collapse_key"] = outgoing.collapse[:_MAX_COLLAPSE]
        android["notification"] = {"tag": outgoing.collapse[:_MAX_COLLAPSE]}
        apple["apns-collapse-id"] = outgoing.collapse[:_MAX_COLLAPSE]
    webpush: dict[str, Any] = {"headers": web}
    if content.url and content.url.startswith("https://"):
        webpush["fcm_options"] = {"link": content.url}
    return {
        "token": outgoing.address,
        "notification": {"title": content.title, "body": content.body},
        "data": data,
        "android": android,
        "apns": {"headers": apple},
        "webpush": webpush,
    }


def open_fcm(options: FcmOptions, secrets: FcmSecrets, around: Surroundings) -> Provider:
    """Open a provider that sends by FCM.

    Raises:
        ProviderInvalidError: the service account cannot be used.
    """
    where = "body.secrets.service_account"
    try:
        account = _Account.model_validate_json(secrets.service_account.get_secret_value())
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except ValidationError as error:
        raise ProviderInvalidError(where, "This is no service account's JSON.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProviderInvalidError(where, "Its private key cannot be read.") from error
    project = options.project_id or account.project_id
    if not isinstance(key, RSAPrivateKey) or not project:
        raise ProviderInvalidError(where, "It lacks a project or an RSA key.")
    web = Web(around)
    url = f"{options.endpoint}/v1/projects/{project}/messages:send"
    return Fcm(url, around, web, Tokens(account, key, around.clock, web))
