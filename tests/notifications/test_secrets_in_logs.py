"""A thousand secrets go through every path, and none comes out where it does not belong (P24).

Each is an address, a name, a value of the data, a number, or what a provider or a caller is
trusted with. Servers repeat addresses in their refusals, as real ones do.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from posthouse.kernel.logs import JsonFormatter
from posthouse.notifications.masking import conceal
from posthouse.notifications.model import Channel
from tests.notifications.channels.servers import CLOSE, Asked, Said, StubHttp, serving
from tests.notifications.conftest import Sending
from tests.notifications.mailserver import DROP, MailServer

MARK = "Canary"
EMAILS, PHONES, FAULTY = 250, 60, 40
OPTIONS = {
    "account_sid": "AC" + "2" * 32, "from_number": "+4915112345678", "status_callback": False,
}  # fmt: skip


@dataclass(slots=True)
class Canaries:
    """Makes secrets that are found again in any text."""

    made: list[str] = field(default_factory=list[str])

    def word(self) -> str:
        self.made.append(f"{MARK}{len(self.made):04d}x")
        return self.made[-1]

    def email(self) -> str:
        return f"{self.word()}@example.com"

    def phone(self) -> str:
        number = f"+49151{70_000_000 + 7919 * len(self.made)}"
        self.made.append(number[1:])
        return number

    def found_in(self, text: str) -> list[str]:
        low = text.lower()
        return [one for one in self.made if one.lower() in low]


@pytest.fixture
def lines() -> Generator[list[str]]:
    """Every line that is logged, as it would be written, however unimportant."""
    kept: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(self.format(record))

    handler, logger = Keeping(logging.DEBUG), logging.getLogger()
    handler.setFormatter(JsonFormatter())
    ours, level = logging.getLogger("posthouse"), logging.getLogger("posthouse").level
    ours.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)
    ours.setLevel(level)


@pytest.fixture
async def phones() -> AsyncGenerator[StubHttp]:
    """Twilio: takes, refuses by name, or acts and hangs up, in turn."""
    turn = 0

    def answer(asked: Asked) -> Said:
        nonlocal turn
        turn += 1
        number = asked.body.decode().partition("To=%2B")[2].partition("&")[0]
        if turn % 3 == 0:
            words = f"The 'To' number +{number} is not a valid phone number ({number})."
            return Said(400, json.dumps({"code": 21211, "message": words}).encode())
        if turn % 3 == 1:
            return Said(raw=CLOSE)
        return Said(201, b'{"sid": "SM1"}')

    stub = StubHttp(answer)
    async with serving(stub):
        yield stub


@dataclass(slots=True)
class Moody:
    """A mail server that likes to repeat addresses: it refuses for ever, once, or loses an answer.

    What it does goes by the number in the address; a breaker would wait long if it did it twice.
    """

    met: set[str] = field(default_factory=set[str])

    def refuse(self, recipient: str) -> str | None:
        mood = _number(recipient) // 3 % 4
        if mood == 0:
            return f"550 5.1.1 <{recipient}>: Recipient address rejected: {recipient} unknown"
        if mood == 1 and self._meets(recipient):
            return f"451 4.3.0 Temporary lookup failure for {recipient.upper()}"
        return None

    def hang_up(self, recipient: str) -> str | None:
        is_moody = _number(recipient) // 3 % 4 == 2
        return DROP if is_moody and self._meets(recipient) else None

    def _meets(self, recipient: str) -> bool:
        is_new = recipient not in self.met
        self.met.add(recipient)
        return is_new


def _number(recipient: str) -> int:
    return int(recipient.lower().partition(MARK.lower())[2][:4])


async def test_no_secret_comes_out_of_a_thousand(
    sending: Sending, mail: MailServer, phones: StubHttp, lines: list[str]
) -> None:
    canaries = Canaries()
    mood = Moody()
    mail.on_rcpt, mail.on_end = mood.refuse, mood.hang_up
    await sending.provider(mail, at_once=32)
    token = canaries.word()
    made = await sending.client.post(
        "/api/v1/notifications/providers",
        json={"kind": "twilio", "name": "texts", "at_once": 16,
              "options": OPTIONS | {"endpoint": phones.url}, "secrets": {"auth_token": token}},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    told = [made.text, *await _refused_requests(sending, canaries)]
    accepted = await _send_all(sending, canaries)
    assert len(canaries.made) >= 1000
    for one in accepted:
        await sending.until(one, _is_settled, within_s=40)
    told += await _all_answers(sending, accepted)
    told += await _all_rows(sending)
    told.append(sending.runtime.parts.metrics.render().decode())
    seen = await sending.execute(
        "SELECT DISTINCT channel, outcome FROM attempts a "
        "JOIN deliveries d ON d.id = a.delivery_id "
        "WHERE d.workspace_id = $1",
        sending.principal.workspace_id,
    )
    assert {tuple(row) for row in seen} >= {
        ("email", "accepted"), ("email", "permanent"), ("email", "transient"),
        ("email", "unknown"), ("sms", "accepted"), ("sms", "permanent"), ("sms", "unknown"),
    }  # fmt: skip
    assert [found for text in told if (found := canaries.found_in(text))] == []
    assert canaries.found_in("\n".join(lines)) == []


def _is_settled(shown: dict[str, Any]) -> bool:
    return all(
        one["state"] in {"sent", "failed", "dead", "suppressed"} or one["ready_at"] is None
        for one in shown["deliveries"]
    )


async def _send_all(sending: Sending, canaries: Canaries) -> list[str]:
    accepted: list[str] = []
    for number in range(EMAILS):
        email, name, value = canaries.email(), canaries.word(), canaries.word()
        to: dict[str, str] = {"email": email}
        if number % 2:
            body = {"email": email, "name": name, "attributes": {"plan": value}}
            await sending.client.put(f"/api/v1/recipients/person-{number}", json=body)
            to = {"recipient": f"person-{number}"}
        content = {"subject": "Hello {{ name }}", "text": "{{ value }} for {{ name }}"}
        sent = await sending.send(to, content=content, data={"name": name, "value": value})
        accepted.append(sent["job_id"])
    for _ in range(FAULTY):  # a list cannot be shown: it fails when it is rendered
        data = {"value": [canaries.word()], "name": canaries.word()}
        content = {"subject": "{{ name }}", "text": "{{ value }}"}
        sent = await sending.send({"email": canaries.email()}, content=content, data=data)
        accepted.append(sent["job_id"])
    for _ in range(PHONES):
        phone, value = canaries.phone(), canaries.word()
        sent = await sending.send(
            {"phone": phone}, content={"text": "{{ code }}"}, data={"code": value}
        )
        accepted.append(sent["job_id"])
    return accepted


async def _refused_requests(sending: Sending, canaries: Canaries) -> list[str]:
    """What is said of requests that are wrong and full of secrets."""
    hello = {"subject": "Hello", "text": "Hello"}
    mask = OPTIONS | {"endpoint": "https://api.example"}
    told: list[str] = []
    for _ in range(FAULTY):
        secret = canaries.word()
        wrong: list[tuple[str, str, Any]] = [
            ("POST", "send", {"to": {"email": f"{secret}@"}, "content": hello}),
            ("POST", "send", {"to": {"phone": f"+49 {secret}"}, "content": hello}),
            ("POST", "send", {"to": {"recipient": secret}, "content": hello}),
            ("POST", "send", {"to": {"email": "a@example.com", "x": secret}, "content": hello}),
            ("POST", "send", {"to": [secret], "content": hello}),
            ("POST", "send", {"to": {"email": "a@example.com"}, "template": secret}),
            ("POST", "send", {"to": {"email": "a@example.com"}, "data": {"a": secret},
                              "content": {"subject": "{{ missing }}", "text": "{{ a }}"}}),
            ("POST", "send", {"to": {"email": "a@example.com"}, "data": secret, "content": hello}),
            ("POST", "providers", {"kind": "twilio", "name": "x", "options": mask,
                                   "secrets": {"auth_token": secret, "more": secret}}),
            ("POST", "providers", {"kind": "twilio", "name": "x", "options": mask,
                                   "secrets": {"auth_token": [secret]}}),
            ("POST", "providers", {"kind": "fcm", "name": "x", "options": {},
                                   "secrets": {"service_account": secret}}),
        ]  # fmt: skip
        for method, path, body in wrong:
            answer = await sending.client.request(
                method, f"/api/v1/notifications/{path}", json=body
            )
            assert 400 <= answer.status_code < 500, (body, answer.text)
            told.append(answer.text)
        text = json.dumps({"to": {"email": f"{secret}@example.com"}}).removesuffix("}")
        for content, headers in (
            (text, {"Content-Type": "application/json"}),
            ("{}", {"Authorization": f"Bearer ph_live_{secret}"}),
        ):
            answer = await sending.client.post(
                "/api/v1/notifications/send", content=content, headers=headers
            )
            assert 400 <= answer.status_code < 500
            told.append(answer.text)
        for path in (f"/-/unsubscribe/{secret}", f"/-/callbacks/prv_{secret}"):
            answer = await sending.client.post(path, content=secret)
            told.append(answer.text)
    return told


async def _all_answers(sending: Sending, accepted: list[str]) -> list[str]:
    """All that the API tells of what was sent; only `explain` shows content, to who may see it."""
    told: list[str] = []
    for one in accepted:
        shown = await sending.client.get(f"/api/v1/notifications/{one}?deliveries=100")
        told.append(shown.text)
        (delivery,) = shown.json()["deliveries"]
        told.append((await sending.client.get(f"/api/v1/deliveries/{delivery['id']}")).text)
        why = (await sending.client.get(f"/api/v1/notifications/{one}/explain")).json()
        for explained in why["explained"]:
            explained.pop("content")
        told.append(json.dumps(why))
    for path in ("notifications?limit=100", "notifications/providers", "audit?limit=100"):
        listed = await sending.client.get(f"/api/v1/{path}")
        told.append(listed.text)
    return told


_ROWS = "SELECT t::text FROM {} t"


async def _all_rows(sending: Sending) -> list[str]:
    """What stands in the tables of tasks, jobs, events and the audit log, of anybody."""
    tables = await sending.execute(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' "
        "AND (table_name LIKE 'tasks%' OR table_name LIKE 'pgqueuer%' OR table_name LIKE 'audit%' "
        "OR table_name IN ('outbox', 'attempts'))"
    )
    assert {row["name"] for row in tables} >= {"tasks", "pgqueuer", "outbox", "attempts"}
    rows = [await sending.execute(_ROWS.format(row["name"])) for row in tables]
    details = await sending.execute("SELECT reason, detail FROM deliveries")
    return [str(tuple(row)) for some in [*rows, details] for row in some]


async def test_a_provider_that_refuses_us_is_shown_without_addresses(
    sending: Sending, mail: MailServer
) -> None:
    canaries = Canaries()
    provider = await sending.provider(mail)
    mail.on_rcpt = lambda recipient: f"550 5.7.26 {recipient} may not be written to by us"
    accepted = await sending.send({"email": canaries.email()})
    await sending.until(accepted["job_id"], lambda one: bool(one["deliveries"][0]["attempts"]))
    await asyncio.sleep(0.2)
    shown = await sending.client.get(f"/api/v1/notifications/providers/{provider}")
    assert shown.json()["paused_reason"], shown.text
    assert canaries.found_in(shown.text) == []


@pytest.mark.parametrize(
    ("channel", "address", "said", "shown"),
    [
        (Channel.EMAIL, "ann@example.com", "<ANN@example.com> unknown", "<a…@example.com> unknown"),
        (Channel.EMAIL, "ann@a.example", "no bob@b.example here", "no b…@b.example here"),
        (Channel.EMAIL, "ann@a.example", "550 5.1.1 go away", "550 5.1.1 go away"),
        (Channel.EMAIL, "a+b@a.example", "a+b@a.example: no", "a…@a.example: no"),
        (Channel.SMS, "+4915112345678", "+4915112345678 or 4915112345678", "+491…78 or +491…78"),
        (Channel.SMS, "+4915112345678", "not +1 (415) 555-0100", "not +1 (…00"),
        (Channel.PUSH, "token-of-a-device", "bad token-of-a-device", "bad device"),
        (Channel.PUSH, "", "nothing", "nothing"),
    ],
)
def test_what_providers_say_is_shown_without_addresses(
    channel: Channel, address: str, said: str, shown: str
) -> None:
    assert conceal(said, channel, address) == shown


TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_one_trace_leads_from_the_request_to_the_provider_and_the_log(
    sending: Sending, lines: list[str]
) -> None:
    told: list[str] = []

    def answer(asked: Asked) -> Said:
        told.append(asked.headers.get("traceparent", ""))
        return Said(401, b'{"code": 20003, "message": "Authenticate"}')

    stub = StubHttp(answer)
    async with serving(stub):
        await sending.client.post(
            "/api/v1/notifications/providers",
            json={"kind": "twilio", "name": "texts", "secrets": {"auth_token": "x"},
                  "options": OPTIONS | {"endpoint": stub.url}},
        )  # fmt: skip
        accepted = await sending.client.post(
            "/api/v1/notifications/send",
            json={"to": {"phone": "+4915112345679"}, "content": {"text": "Hello"}},
            headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
        assert accepted.status_code == 202
        await sending.until(
            accepted.json()["job_id"], lambda one: bool(one["deliveries"][0]["attempts"])
        )
    assert [one.split("-")[:2] for one in told] == [["00", TRACE]]
    (paused,) = [json.loads(one) for one in lines if "provider paused" in one]
    assert paused["trace_id"] == TRACE


@pytest.mark.parametrize(
    "traceparent",
    ["x", "00-" + "0" * 32 + "-b7ad6b7169203331-01", f"00-{TRACE.upper()}-b7ad6b7169203331-01",
     f"ff-{TRACE}-b7ad6b7169203331-01", "9" * 4000, f"00-{TRACE}-b7ad6b7169203331-01-more"],
)  # fmt: skip
async def test_a_malformed_trace_is_dropped(
    sending: Sending, mail: MailServer, traceparent: str
) -> None:
    await sending.provider(mail)
    answer = await sending.client.post(
        "/api/v1/notifications/send",
        json={"to": {"email": "ann@example.com"}, "content": {"subject": "x", "text": "x"}},
        headers={"traceparent": traceparent},
    )
    assert answer.status_code == 202
    (row,) = await sending.execute(
        "SELECT id, trace_id FROM notifications WHERE workspace_id = $1",
        sending.principal.workspace_id,
    )
    assert len(row["trace_id"]) == len(UUID(row["trace_id"]).hex) == 32
    assert row["trace_id"] not in traceparent.lower()
