"""What providers tell: only they are believed, and they may say it twice, late, in any order."""

import base64
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from twilio.request_validator import (  # pyright: ignore[reportMissingTypeStubs]
    RequestValidator,
)

from posthouse.app import create_app
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.edge import App
from posthouse.notifications.model import DELIVERY, PROVIDER, ProviderSetup
from posthouse.notifications.providing import Providers
from posthouse.notifications.receiving import Receiving, match_parked
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.channels.certificates import NOW, self_signed
from tests.notifications.channels.rigs import ACCOUNT, SENDER

TOKEN = "secret"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
KEY = rsa.generate_private_key(65_537, 2048)
PEM, _ = self_signed("sns.amazonaws.com", KEY)


@dataclass
class Amazon:
    """Gives out one certificate and notes what was asked for."""

    asked: list[str] = field(default_factory=list[str])
    certificate: bytes = PEM

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        return self.certificate


@dataclass
class Post:
    """A workspace with a provider, the client that plays it, and deliveries that it sent."""

    runtime: Runtime
    client: httpx.AsyncClient
    owner: Principal
    provider: ProviderSetup
    amazon: Amazon

    async def delivery(
        self,
        reference: str | None,
        state: str = "sent",
        *,
        rank: int = 1,
        channel: str = "sms",
        address: str = "+4915187654321",
    ) -> UUID:
        notification_id, delivery_id = ids.fresh(), ids.fresh()
        async with self.runtime.parts.db.begin() as tx:
            await tx.execute(
                "INSERT INTO notifications (id, workspace_id, category, priority, created_by, role)"
                " VALUES ($1, $2, 'general', 0, 'test', 'owner')",
                notification_id,
                self.owner.workspace_id,
            )
            await tx.execute(
                "INSERT INTO deliveries (id, workspace_id, notification_id, channel, category,"
                " address, state, priority, ready_at, provider_id, reference, rank)"
                " VALUES ($1, $2, $3, $4, 'general', $5, $6, 0, now() + interval '1 day', $7, $8,"
                " $9)",
                delivery_id,
                self.owner.workspace_id,
                notification_id,
                channel,
                address,
                state,
                self.provider.id,
                reference,
                rank,
            )
        return delivery_id

    async def state(self, delivery_id: UUID) -> str:
        return str((await self.row(delivery_id))["state"])

    async def row(self, delivery_id: UUID) -> Any:
        async with self.runtime.parts.db.read() as connection:
            return await connection.fetchrow("SELECT * FROM deliveries WHERE id = $1", delivery_id)

    async def status(self, delivery_id: UUID) -> str | None:
        async with self.runtime.parts.db.read() as connection:
            return await connection.fetchval(
                "SELECT n.status FROM notifications n JOIN deliveries d ON d.notification_id = n.id"
                " WHERE d.id = $1",
                delivery_id,
            )

    async def suppressed(self) -> list[tuple[str, str]]:
        async with self.runtime.parts.db.read() as connection:
            rows = await connection.fetch(
                "SELECT address, reason FROM suppressions WHERE workspace_id = $1",
                self.owner.workspace_id,
            )
        return [(row["address"], row["reason"]) for row in rows]

    async def set_reference(self, delivery_id: UUID, reference: str) -> None:
        async with self.runtime.parts.db.begin() as tx:
            await tx.execute(
                "UPDATE deliveries SET reference = $2 WHERE id = $1", delivery_id, reference
            )

    async def match(self) -> None:
        async with self.runtime.parts.db.begin() as tx:
            await match_parked(tx)

    @property
    def path(self) -> str:
        return f"/-/callbacks/{PROVIDER.show(self.provider.id)}"

    async def twilio(
        self, sid: str, status: str, *, path: str = "", token: str = TOKEN, **more: str
    ) -> httpx.Response:
        """A call as Twilio makes it, signed by Twilio's own library."""
        form = {"AccountSid": ACCOUNT, "MessageSid": sid, "MessageStatus": status, **more}
        path = path or self.path
        public = self.runtime.parts.public_url.rstrip("/")
        signature = RequestValidator(token).compute_signature(public + path, form)
        return await self.client.post(
            path,
            content=urlencode(form),
            headers={
                "X-Twilio-Signature": signature,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )

    async def ses(
        self,
        event: Any,
        *,
        change: Callable[[dict[str, str]], None] = lambda _: None,
        version: str = "2",
        **chosen: str,
    ) -> httpx.Response:
        """A call as SNS makes it; `change` tampers with it after it was signed."""
        envelope = {
            "Type": "Notification",
            "MessageId": str(ids.fresh()),
            "TopicArn": TOPIC,
            "Message": event if isinstance(event, str) else json.dumps(event),
            "Timestamp": NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
            **chosen,
        }
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token"]
        content = "".join(
            f"{name}\n{envelope[name]}\n"
            for name in (*names, "TopicArn", "Type")
            if name in envelope
        )
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303  SNS's own
        signature = KEY.sign(content.encode(), PKCS1v15(), algorithm)
        envelope["Signature"] = base64.b64encode(signature).decode()
        change(envelope)
        headers = {"Content-Type": "text/plain; charset=UTF-8"}
        return await self.client.post(self.path, content=json.dumps(envelope), headers=headers)


@pytest.fixture(scope="session")
def calling(runtime: Runtime) -> tuple[App, Amazon]:
    """The product, but for where it gets certificates."""
    amazon = Amazon()
    providers = cast("Providers", runtime.services[Providers])
    receiving = Receiving(runtime.parts.db, providers, amazon)
    built = tuple(
        (one, replace(own, services={**own.services, Receiving: receiving}))
        if Receiving in own.services
        else (one, own)
        for one, own in runtime.built
    )
    return create_app(replace(runtime, built=built)), amazon


@pytest.fixture
async def post(
    runtime: Runtime, calling: tuple[App, Amazon], make: Maker, request: pytest.FixtureRequest
) -> AsyncGenerator[Post]:
    kind = getattr(request, "param", "twilio")
    app, amazon = calling
    amazon.asked.clear()
    amazon.certificate = PEM
    owner = await make.principal()
    provider = await provider_of(cast("Providers", runtime.services[Providers]), owner, kind)
    async with client_of(app) as client:
        yield Post(runtime, client, owner, provider, amazon)


async def provider_of(providers: Providers, owner: Principal, kind: str) -> ProviderSetup:
    if kind == "ses":
        options = {
            **SENDER, "region": "eu-west-1", "access_key_id": "AKIA1234", "topic_arn": TOPIC,
        }  # fmt: skip
        secrets = {"secret_access_key": "secret"}
    else:
        options = {"account_sid": ACCOUNT, "from_number": "+4915112345678"}
        secrets = {"auth_token": "secret"}
    return await providers.make(owner, kind, options, secrets, name=f"P{ids.fresh()}")


ses_only = pytest.mark.parametrize("post", ["ses"], indirect=True)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", "sent"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "bounced"),
        ("failed", "bounced"),
    ],
)
async def test_twilio_tells_what_became_of_a_message(post: Post, status: str, state: str) -> None:
    delivery_id = await post.delivery("SM1")
    answer = await post.twilio("SM1", status, ErrorCode="30003")
    assert answer.status_code == 204, answer.text
    assert await post.state(delivery_id) == state
    assert await post.suppressed() == []
    if state == "bounced":
        row = await post.row(delivery_id)
        assert (row["reason"], row["detail"]) == ("bounced", "30003")
        assert await post.status(delivery_id) == "failed"


async def test_a_number_that_is_gone_is_not_written_to_any_more(post: Post) -> None:
    await post.delivery("SM1")
    await post.twilio("SM1", "undelivered", ErrorCode="30005")
    assert await post.suppressed() == [("+4915187654321", "bounced")]


async def test_a_call_that_is_forged_is_not_believed(post: Post, make: Maker) -> None:
    delivery_id = await post.delivery("SM1")
    providers = cast("Providers", post.runtime.services[Providers])
    other = await provider_of(providers, await make.principal(), "twilio")
    console = await providers.make(post.owner, "console-sms", {}, {}, name="C")
    answers = [
        await post.twilio("SM1", "delivered", token="another"),
        await post.twilio("SM1", "delivered", path=f"/-/callbacks/{PROVIDER.show(ids.fresh())}"),
        await post.twilio("SM1", "delivered", path="/-/callbacks/prv_x"),
        await post.twilio("SM1", "delivered", path=f"/-/callbacks/{PROVIDER.show(console.id)}"),
        await post.client.post(post.path, content="MessageSid=SM1&MessageStatus=delivered"),
        await post.client.post(post.path, content=b"\xff\xfe"),
        await post.client.post(post.path),
    ]
    assert {(one.status_code, one.json()["code"]) for one in answers} == {(401, "bad-signature")}
    # Of another workspace, signed by its own provider: it is taken, and tells of nothing of ours.
    foreign = await post.twilio("SM1", "delivered", path=f"/-/callbacks/{PROVIDER.show(other.id)}")
    assert foreign.status_code == 204
    await post.match()
    assert await post.state(delivery_id) == "sent"


async def test_every_changed_byte_breaks_a_signature(post: Post) -> None:
    delivery_id = await post.delivery("SM1")
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    public = post.runtime.parts.public_url.rstrip("/")
    signature = RequestValidator("secret").compute_signature(public + post.path, form)
    body = urlencode(form)
    for at in range(len(body)):
        changed = body[:at] + ("y" if body[at] == "x" else "x") + body[at + 1 :]
        headers = {"X-Twilio-Signature": signature}
        answer = await post.client.post(post.path, content=changed, headers=headers)
        assert answer.status_code == 401, changed
    answer = await post.client.post(
        f"{post.path}?more=1", content=body, headers={"X-Twilio-Signature": signature}
    )
    assert answer.status_code == 401
    assert await post.state(delivery_id) == "sent"


async def test_a_replay_changes_nothing(post: Post) -> None:
    delivery_id = await post.delivery("SM1")
    for _ in range(3):
        assert (await post.twilio("SM1", "delivered")).status_code == 204
    row = await post.row(delivery_id)
    assert (row["state"], row["version"]) == ("delivered", 2)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (["delivered", "sent"], "delivered"),
        (["sent", "delivered"], "delivered"),
        (["delivered", "undelivered"], "bounced"),
        (["undelivered", "delivered", "sent"], "bounced"),
    ],
)
async def test_the_order_does_not_matter(post: Post, told: list[str], state: str) -> None:
    delivery_id = await post.delivery("SM1")
    for status in told:
        assert (await post.twilio("SM1", status)).status_code == 204
    assert await post.state(delivery_id) == state


async def test_a_doubt_is_settled_by_a_receipt(post: Post) -> None:
    """The answer with Twilio's own name never came, but Twilio repeats ours."""
    delivery_id = await post.delivery(None, "in_doubt", rank=0)
    path = f"{post.path}?key={DELIVERY.show(delivery_id)}"
    await post.twilio("SM1", "sent", path=path)
    row = await post.row(delivery_id)
    assert (row["state"], row["reference"]) == ("sent", "SM1")
    await post.twilio("SM1", "delivered", path=path)
    assert await post.state(delivery_id) == "delivered"


async def test_a_key_finds_no_message_of_another_provider(post: Post, make: Maker) -> None:
    delivery_id = await post.delivery(None, "in_doubt", rank=0)
    providers = cast("Providers", post.runtime.services[Providers])
    other = await provider_of(providers, await make.principal(), "twilio")
    path = f"/-/callbacks/{PROVIDER.show(other.id)}?key={DELIVERY.show(delivery_id)}"
    assert (await post.twilio("SM1", "delivered", path=path)).status_code == 204
    assert (await post.twilio("SM1", "delivered", path=f"{post.path}?key=x")).status_code == 204
    assert await post.state(delivery_id) == "in_doubt"


@pytest.mark.parametrize("post", ["ses"], indirect=True)
async def test_a_doubt_about_an_email_is_settled_too(post: Post) -> None:
    delivery_id = await post.delivery(None, "in_doubt", rank=0, channel="email")
    event = mail("Delivery")
    event["mail"]["tags"] = {"key": [DELIVERY.show(delivery_id)]}
    assert (await post.ses(event)).status_code == 204
    row = await post.row(delivery_id)
    assert (row["state"], row["reference"]) == ("delivered", "m-1")


@pytest.mark.parametrize("state", ["retry_wait", "failed", "cancelled", "held", "skipped"])
async def test_what_is_not_out_is_left_as_it_is(post: Post, state: str) -> None:
    delivery_id = await post.delivery("SM1", state, rank=0)
    assert (await post.twilio("SM1", "delivered")).status_code == 204
    assert await post.state(delivery_id) == state


async def test_what_comes_before_our_own_note_waits_for_it(post: Post) -> None:
    delivery_id = await post.delivery(None)
    await post.twilio("SM7", "undelivered", ErrorCode="30005")
    await post.twilio("SM7", "delivered")
    await post.match()
    assert await post.state(delivery_id) == "sent"
    await post.set_reference(delivery_id, "SM7")
    await post.match()
    assert await post.state(delivery_id) == "bounced"
    assert await post.suppressed() == [("+4915187654321", "bounced")]
    await post.match()
    assert (await post.row(delivery_id))["version"] == 3


async def test_what_belongs_to_nothing_is_forgotten_after_a_day(post: Post) -> None:
    await post.twilio("SM8", "delivered")
    await post.twilio("SM9", "delivered")
    async with post.runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE receipts SET created_at = now() - interval '25 hours'"
            " WHERE provider_id = $1 AND reference = 'SM8'",
            post.provider.id,
        )
    await post.match()
    async with post.runtime.parts.db.read() as connection:
        left = await connection.fetch(
            "SELECT reference FROM receipts WHERE provider_id = $1", post.provider.id
        )
    assert [row["reference"] for row in left] == ["SM9"]


async def test_a_signed_call_that_names_no_message_is_told_so(post: Post) -> None:
    answer = await post.twilio("", "delivered")
    assert (answer.status_code, answer.json()["code"]) == (422, "receipt-invalid")
    assert (await post.twilio("S" * 201, "delivered")).status_code == 422
    assert (await post.twilio("S\x00", "delivered")).status_code == 422
    assert (await post.twilio("SM1", "delivered\x00", ErrorCode="\x00")).status_code == 204


async def test_a_call_that_is_too_large_is_refused(post: Post) -> None:
    answer = await post.client.post(post.path, content=b"x" * 2_000_000)
    assert answer.status_code == 413


def mail(name: str, **told: Any) -> dict[str, Any]:
    key = {"Bounce": "bounce", "Complaint": "complaint", "Delivery": "delivery", "Send": "send"}
    stamp = "2026-11-26T12:00:00.000Z"
    return {
        "eventType": name,
        "mail": {"messageId": "m-1", "timestamp": stamp},
        key.get(name, "other"): {"timestamp": stamp, **told},
    }


BOUNCE = {"bounceType": "Permanent", "bounceSubType": "General",
          "bouncedRecipients": [{"diagnosticCode": "smtp; 550 5.1.1"}]}  # fmt: skip


@ses_only
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (mail("Send"), "sent", None),
        (mail("Open"), "sent", None),
        (mail("Delivery", smtpResponse="250 ok"), "delivered", None),
        (mail("Bounce", **BOUNCE), "bounced", "bounced"),
        (mail("Bounce", bounceType="Transient"), "bounced", None),
        (mail("Complaint", complaintFeedbackType="abuse"), "delivered", "complained"),
        (
            {**mail("Delivery"), "eventType": None, "notificationType": "Delivery"},
            "delivered",
            None,
        ),
    ],
)
async def test_ses_tells_what_became_of_an_email(
    post: Post, event: Any, state: str, reason: str | None, version: str
) -> None:
    delivery_id = await post.delivery("m-1", channel="email", address="ann@example.com")
    answer = await post.ses(event, version=version, Subject="Amazon SES")
    assert answer.status_code == 204, answer.text
    assert await post.state(delivery_id) == state
    assert await post.suppressed() == ([("ann@example.com", reason)] if reason else [])


@ses_only
async def test_a_complaint_after_a_bounce_leaves_it_bounced(post: Post) -> None:
    delivery_id = await post.delivery("m-1", channel="email", address="ann@example.com")
    for event in (mail("Bounce", bounceType="Transient"), mail("Complaint"), mail("Delivery")):
        assert (await post.ses(event)).status_code == 204
    assert await post.state(delivery_id) == "bounced"
    assert await post.suppressed() == [("ann@example.com", "complained")]


def set_to(name: str, value: Any) -> Callable[[dict[str, str]], None]:
    def change(envelope: dict[str, str]) -> None:
        envelope[name] = value

    return change


OLD = (NOW - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
AHEAD = (NOW + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


@ses_only
@pytest.mark.parametrize(
    "tampering",
    [
        {"change": set_to("Message", json.dumps(mail("Bounce", **BOUNCE)))},
        {"change": set_to("MessageId", "another")},
        {"change": set_to("Signature", "AAAA")},
        {"change": set_to("Signature", "not base64!")},
        {"change": set_to("SignatureVersion", "3")},
        {"change": set_to("SignatureVersion", "1")},
        {"change": set_to("Subject", "more")},
        {"change": set_to("Type", "SubscriptionConfirmation")},
        {"change": set_to("Type", "Other")},
        {"change": set_to("Message", 7)},
        {"TopicArn": TOPIC + "2"},
        {"Timestamp": OLD},
        {"Timestamp": AHEAD},
        {"Timestamp": "yesterday"},
        {"SigningCertURL": "https://sns.evil.example/a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.txt"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com:8443/a.pem"},
        {"SigningCertURL": "https://u@sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://[sns/a.pem"},
    ],
)
async def test_what_amazon_has_not_signed_is_not_believed(
    post: Post, tampering: dict[str, Any]
) -> None:
    delivery_id = await post.delivery("m-1", channel="email")
    answer = await post.ses(mail("Delivery"), **tampering)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")
    assert await post.state(delivery_id) == "sent"
    assert set(post.amazon.asked) <= {CERTIFICATE}


@ses_only
@pytest.mark.parametrize("certificate", [b"", b"<html>", self_signed("sns.amazonaws.com")[0]])
async def test_another_certificate_verifies_nothing(post: Post, certificate: bytes) -> None:
    post.amazon.certificate = certificate
    assert (await post.ses(mail("Delivery"))).status_code == 401


@ses_only
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"x", b"[" * 100_000, b'{"Type": 1}', b"\xff"])
async def test_garbage_is_not_believed(post: Post, body: bytes) -> None:
    answer = await post.client.post(post.path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")


@ses_only
@pytest.mark.parametrize(
    "event", ["x", "[]", {}, {"mail": {}}, {"mail": {"messageId": 7}}, {"mail": {"messageId": ""}}]
)
async def test_a_signed_event_that_cannot_be_read_is_told_so(post: Post, event: Any) -> None:
    answer = await post.ses(event)
    assert (answer.status_code, answer.json()["code"]) == (422, "receipt-invalid")


def changed(chosen: dict[str, Any], **more: str) -> dict[str, Any]:
    return {**chosen, **more}


@ses_only
async def test_a_subscription_is_confirmed_for_the_own_topic_only(post: Post) -> None:
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    chosen: Any = {"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "t"}
    assert (await post.ses("You have chosen", **chosen)).status_code == 204
    assert post.amazon.asked == [CERTIFICATE, url]
    other = await post.ses("x", **changed(chosen, TopicArn=TOPIC + "2"))
    evil = await post.ses("x", **changed(chosen, SubscribeURL="https://evil.example/"))
    assert (other.status_code, evil.status_code) == (401, 401)
    assert post.amazon.asked == [CERTIFICATE, url, CERTIFICATE]
    assert (await post.ses("Successfully validated SNS topic")).status_code == 204


@ses_only
async def test_an_event_that_is_told_twice_counts_once(post: Post) -> None:
    delivery_id = await post.delivery("m-1", channel="email")
    for _ in range(2):
        assert (await post.ses(mail("Delivery"), MessageId="one")).status_code == 204
    assert (await post.row(delivery_id))["version"] == 2
