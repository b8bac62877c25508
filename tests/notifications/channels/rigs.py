"""Each provider with another side that can be told to misbehave: what the contract is tested on."""

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import http_ece  # pyright: ignore[reportMissingTypeStubs]
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from posthouse.kernel.clock import SystemClock
from posthouse.kernel.outbound import Outbound, OutboundLimits
from posthouse.notifications.channels import webpush
from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.model import (
    Content,
    EmailContent,
    Outgoing,
    PushContent,
    SmsContent,
)
from tests.notifications.channels.servers import (
    CLOSE,
    HANG,
    Asked,
    Said,
    ScriptedSmtp,
    StubHttp,
    serving,
)

ACCOUNT = "AC" + "0" * 32
CASES = ("accepted", "permanent", "transient", "throttled", "config", "hang", "close", "garbage")
EMAIL = EmailContent("Hello", "Hello there", "<p>Hello there</p>")
SMS = SmsContent("Hello there")
PUSH = PushContent("Hello", "Hello there", "https://shop.example/1", {"order": "1"})
SENDER = {"from_address": "shop@shop.example", "from_name": "The Shop"}
BROWSER = ec.generate_private_key(ec.SECP256R1())
BROWSER_SECRET = b"0123456789abcdef"


@dataclass(slots=True)
class Rig:
    """A provider, its other side told `case`, and the messages that came over there."""

    provider: Provider
    outgoing: Outgoing
    tell: Callable[[str], None]
    received: Callable[[], list[Any]]
    keys: Callable[[], list[str]]
    side: ScriptedSmtp | StubHttp | None = None

    def message(self, key: str) -> Outgoing:
        return replace(self.outgoing, key=key)


def around(folder: Path, **chosen: Any) -> Surroundings:
    limits = OutboundLimits(
        deadline_s=chosen.get("total_s", 10.0),
        ports=frozenset(range(65_536)),
        allows=lambda _: True,
        cuts_body=True,
    )
    fields: dict[str, Any] = {
        "clock": SystemClock(),
        "folder": folder,
        "hosts": Hosts(allows_private=True),
        "strangers": Outbound(limits),
        "callback_url": "https://shop.example/-/callbacks/prv_1",
        "connect_s": 5.0,
        "total_s": 10.0,
        **chosen,
    }
    return Surroundings(**fields)


def opened(
    kind: str, options: dict[str, Any], secrets: dict[str, Any], where: Surroundings
) -> Provider:
    known = KINDS[kind]
    checked = (known.options.model_validate(options), known.secrets.model_validate(secrets))
    if known.complete is not None:
        checked = known.complete(*checked)
    return known.open(*checked, where)


@cache
def service_account(token_uri: str) -> tuple[str, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(65_537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "shop-1",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "push@shop-1.example",
        "token_uri": token_uri,
    }
    return json.dumps(account), key


def subscription(endpoint: str) -> str:
    point = BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": point, "auth": BROWSER_SECRET}
    shown = {
        name: base64.urlsafe_b64encode(raw).rstrip(b"=").decode() for name, raw in keys.items()
    }
    return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": shown})


def decrypted(asked: Asked) -> Any:
    plain = http_ece.decrypt(
        asked.body, private_key=BROWSER, auth_secret=BROWSER_SECRET, version="aes128gcm"
    )
    return json.loads(plain)


SMTP_CASES = {
    "permanent": {"rcpt": b"550 5.1.1 no such user\r\n"},
    "transient": {"rcpt": b"451 4.3.0 try later\r\n"},
    "throttled": {"mail": b"450 4.7.0 too many messages\r\n"},
    "config": {"mail": b"550 5.7.1 sender not allowed\r\n"},
    "hang": {"end": HANG},
    "close": {"end": CLOSE},
    "garbage": {"mail": b"\xff\x00 what is this\r\n"},
}
_FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def _fcm(status: int, code: str) -> Said:
    details = [{"@type": _FCM, "errorCode": code}]
    error = {"code": status, "message": code, "status": "X", "details": details}
    return Said(status, json.dumps({"error": error}).encode())


_ALL_HTTP = {
    "hang": Said(raw=HANG),
    "close": Said(raw=CLOSE),
    "garbage": Said(raw=b"\x00\xff\x00 what is this\r\n\r\n"),
}
SAID = {
    "ses": {
        "accepted": Said(body=b'{"MessageId": "m-1"}'),
        "permanent": Said(400, b'{"message": "x"}', (("x-amzn-errortype", "BadRequestException"),)),
        "transient": Said(500, b"{}", (("x-amzn-errortype", "InternalServiceErrorException:"),)),
        "throttled": Said(429, b"{}", (("x-amzn-errortype", "TooManyRequestsException"),)),
        "config": Said(400, b'{"__type": "x#SendingPausedException", "message": "paused"}'),
        **_ALL_HTTP,
    },
    "twilio": {
        "accepted": Said(201, b'{"sid": "SM1", "status": "queued"}'),
        "permanent": Said(400, b'{"code": 21211, "message": "not a number", "status": 400}'),
        "transient": Said(503, b'{"code": 21730, "message": "maintenance"}'),
        "throttled": Said(429, b'{"code": 20429}', (("Retry-After", "7"),)),
        "config": Said(401, b'{"code": 20003, "message": "Authenticate"}'),
        **_ALL_HTTP,
    },
    "fcm": {
        "accepted": Said(body=b'{"name": "projects/shop-1/messages/1"}'),
        "permanent": _fcm(404, "UNREGISTERED"),
        "transient": _fcm(503, "UNAVAILABLE"),
        "throttled": _fcm(429, "QUOTA_EXCEEDED"),
        "config": _fcm(401, "THIRD_PARTY_AUTH_ERROR"),
        **_ALL_HTTP,
    },
    "webpush": {
        "accepted": Said(201, b""),
        "permanent": Said(410, b"gone"),
        "transient": Said(502, b"oh"),
        "throttled": Said(429, b"", (("Retry-After", "30"),)),
        "config": Said(403, b"another key"),
        **_ALL_HTTP,
    },
}
TOKEN = Said(body=b'{"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"}')


def is_message(asked: Asked) -> bool:
    return asked.path != "/token"


def _key_of_email(raw: bytes) -> str:
    return raw.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


@asynccontextmanager
async def smtp_rig(where: Surroundings) -> AsyncGenerator[Rig]:
    side = ScriptedSmtp()
    async with serving(side):
        options = {**SENDER, "host": "127.0.0.1", "port": side.port, "tls": "none"}
        provider = opened("smtp", options, {}, where)

        def tell(case: str) -> None:
            side.answers = dict(SMTP_CASES.get(case, {}))

        yield Rig(
            provider,
            Outgoing("dlv_1", "ann@example.com", EMAIL, "Ann"),
            tell,
            lambda: side.mails,
            lambda: [_key_of_email(mail) for mail in side.mails],
            side,
        )
        await provider.close()


def http_options(kind: str, url: str) -> tuple[dict[str, Any], dict[str, Any], str, Content]:
    if kind == "ses":
        options = {**SENDER, "region": "eu-west-1", "access_key_id": "AKIA1234", "endpoint": url}
        return options, {"secret_access_key": "secret"}, "ann@example.com", EMAIL
    if kind == "twilio":
        options = {"account_sid": ACCOUNT, "from_number": "+4915112345678", "endpoint": url}
        return options, {"auth_token": "secret"}, "+4915187654321", SMS
    if kind == "fcm":
        secrets = {"service_account": service_account(f"{url}/token")[0]}
        return {"endpoint": url}, secrets, "token-1", PUSH
    return {"subject": "mailto:it@shop.example"}, {}, subscription(f"{url}/push/1"), PUSH


@asynccontextmanager
async def http_rig(kind: str, where: Surroundings) -> AsyncGenerator[Rig]:
    side = StubHttp()
    async with serving(side):
        options, secrets, address, content = http_options(kind, side.url)
        provider = opened(kind, options, secrets, where)
        if isinstance(provider, webpush.WebPush):
            provider = replace(provider, services=("127.0.0.1",))

        def tell(case: str) -> None:
            said = SAID[kind][case]
            side.answering = lambda asked: said if is_message(asked) else TOKEN

        def received() -> list[Any]:
            return [_message(kind, asked) for asked in side.asked if is_message(asked)]

        tell("accepted")
        outgoing = Outgoing("dlv_1", address, content, collapse="order-1")
        yield Rig(provider, outgoing, tell, received, lambda: _keys(kind, side.asked), side)
        await provider.close()


def _message(kind: str, asked: Asked) -> Any:
    if kind == "ses":
        return base64.b64decode(json.loads(asked.body)["Content"]["Raw"]["Data"])
    if kind == "twilio":
        return parse_qs(asked.body.decode(), strict_parsing=True)
    return json.loads(asked.body) if kind == "fcm" else decrypted(asked)


def _keys(kind: str, asked: list[Asked]) -> list[str]:
    """What makes a repeat recognisable; Twilio has nothing of the kind."""
    sent = [one for one in asked if is_message(one)]
    if kind == "webpush":
        return [one.headers["topic"] for one in sent]
    if kind == "fcm":
        return [json.loads(one.body)["message"]["android"]["collapse_key"] for one in sent]
    return [_key_of_email(_message(kind, one)) for one in sent]


@asynccontextmanager
async def console_rig(kind: str, where: Surroundings) -> AsyncGenerator[Rig]:
    options = SENDER if kind == "console-email" else {}
    provider = opened(kind, options, {}, where)
    place = where.folder / "messages" / "console"
    address, content = {
        "console-email": ("ann@example.com", EMAIL),
        "console-sms": ("+4915187654321", SMS),
        "console-push": ("token-1", PUSH),
    }[kind]

    def tell(case: str) -> None:
        if case == "transient":
            place.parent.mkdir()
            place.write_bytes(b"a file where the folder should be")

    yield Rig(
        provider,
        Outgoing("dlv_1", address, content),
        tell,
        lambda: [path.read_bytes() for path in sorted(place.iterdir())],
        lambda: [path.stem for path in sorted(place.iterdir())],
    )
    await provider.close()


HTTP = ("ses", "twilio", "fcm", "webpush")
CONSOLE = ("console-email", "console-sms", "console-push")


@asynccontextmanager
async def rig_of(kind: str, folder: Path, **chosen: Any) -> AsyncGenerator[Rig]:
    where = around(folder, **chosen)
    rig = (
        smtp_rig(where)
        if kind == "smtp"
        else http_rig(kind, where)
        if kind in HTTP
        else console_rig(kind, where)
    )
    async with rig as opened_rig:
        yield opened_rig
