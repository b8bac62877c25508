"""Wrong, huge, empty and at once: the routes that send answer 4xx and do nothing twice."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.notifications.conftest import HELLO, Sending, fresh_email
from tests.notifications.mailserver import MailServer

SEND = "/api/v1/notifications/send"
ODD: list[Any] = [
    None, True, 0, -1, 2**63, 1.5, "", "\u0000", "x" * 5000, "\ud800", "\u202ea", [], [[]], {},
    [None], {"a": {}}, "' OR 1=1 --", "%", "../../etc/passwd", "{{ 7*7 }}",
    "a\r\nBcc: b@example.com",
]  # fmt: skip
FIELDS = (
    "to", "channels", "template", "content", "data", "links", "attachments", "category",
    "priority", "send_at", "expires_at",
)  # fmt: skip
INNER = {
    "to": ("recipient", "topic", "email", "phone", "locale", "timezone"),
    "content": ("subject", "text", "html", "title", "body", "url", "sms", "push"),
}


async def post(sending: Sending, body: Any, path: str = SEND, **headers: str) -> httpx.Response:
    """Post what may be no JSON that httpx would write."""
    return await sending.client.post(
        path, content=json.dumps(body), headers={"Content-Type": "application/json", **headers}
    )


def is_said_well(answer: httpx.Response) -> bool:
    """Whether an answer is an acceptance, or a refusal that says why."""
    if answer.status_code in {200, 202}:
        return True
    told = answer.json()
    return 400 <= answer.status_code < 500 and told["status"] == answer.status_code and told["code"]


@pytest.mark.parametrize("path", [SEND, "/api/v1/notifications/explain"])
@pytest.mark.parametrize("field", FIELDS)
async def test_anything_in_any_field_is_accepted_or_refused(
    sending: Sending, mail: MailServer, path: str, field: str
) -> None:
    await sending.provider(mail)
    for value in ODD:
        body = {"to": {"email": "a@example.com"}, "content": HELLO, field: value}
        for inner in INNER.get(field, ()):
            within = {**body, field: {**_good(field), inner: value}}
            answer = await post(sending, within, path)
            assert is_said_well(answer), (inner, value, answer.text)
        answer = await post(sending, body, path)
        assert is_said_well(answer), (value, answer.text)
    await _stop(sending)


def _good(field: str) -> dict[str, Any]:
    return {"email": "a@example.com"} if field == "to" else dict(HELLO)


async def _stop(sending: Sending) -> None:
    await sending.execute(
        "UPDATE deliveries SET state = 'cancelled' WHERE workspace_id = $1 "
        "AND state IN ('held', 'queued', 'retry_wait') RETURNING id",
        sending.principal.workspace_id,
    )


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
async def test_anything_for_the_other_routes_is_refused_or_done(
    sending: Sending, mail: MailServer, value: Any
) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()}, send_at=_later(sending, 3600))
    place = f"/api/v1/notifications/{accepted['job_id']}"
    for path, body in (
        ("/api/v1/notifications/batch", {"items": value}),
        ("/api/v1/notifications/batch", {"items": [value]}),
        ("/api/v1/notifications/batch", value),
        ("/api/v1/notifications/replay", {"states": value}),
        ("/api/v1/notifications/replay", {"expected": value, "notification": accepted["job_id"]}),
        ("/api/v1/notifications/replay", {"notification": value}),
        ("/api/v1/notifications/replay", {"provider": value, "since": value}),
        (f"{place}/reschedule", {"send_at": value}),
        (f"{place}/resend", {"only_failed": value}),
        (f"{place}/resend", value),
    ):
        answer = await post(sending, body, path)
        assert is_said_well(answer), (path, body, answer.text)
    for query in ("category", "template", "recipient", "status", "since", "cursor", "limit"):
        answer = await sending.client.get(
            "/api/v1/notifications", params={query: ascii(value)[:200]}
        )
        assert is_said_well(answer), (query, answer.text)
    shown = await sending.client.get(f"{place}x")
    assert shown.status_code == 404


def _later(sending: Sending, seconds: float) -> str:
    return (sending.runtime.parts.clock.now() + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"to": [{"email": f"a{n}@example.com"} for n in range(1001)]}, 422, "too-long"),
        ({"data": {"a": "x" * 65_536}}, 422, "too-long"),
        ({"data": {str(n): n for n in range(20_000)}}, 422, "too-long"),
        ({"content": {"subject": "x" * 501, "text": "x"}}, 422, "too-long"),
        ({"content": {"subject": "x", "text": "x" * 131_073}}, 422, "too-long"),
        ({"links": {f"l{n}": "https://example.com" for n in range(21)}}, 422, "too-long"),
        ({"attachments": ["fil_x"] * 11}, 422, "too-long"),
        ({"to": {"email": "a" * 308 + "@example.com"}}, 422, "address-invalid"),
        ({"to": {"email": "a" * 321}}, 422, "too-long"),
    ],
)
async def test_what_is_too_much_is_refused(
    sending: Sending, mail: MailServer, changes: dict[str, Any], status: int, code: str
) -> None:
    await sending.provider(mail)
    answer = await post(sending, {"to": {"email": "a@example.com"}, "content": HELLO} | changes)
    assert answer.status_code == status, answer.text
    assert code in {one["code"] for one in answer.json()["errors"]}, answer.text
    assert (await sending.client.get("/api/v1/notifications")).json()["items"] == []


async def test_what_is_just_not_too_much_is_accepted(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    at = _later(sending, 3600)
    for changes in (
        {"to": [{"email": f"a{n}@example.com"} for n in range(1000)]},
        {"data": {"a": "x" * 65_526}},
        {"content": {"subject": "x" * 500, "text": "x" * 131_072}},
    ):
        body = {"to": {"email": "a@example.com"}, "content": HELLO, "send_at": at} | changes
        answer = await post(sending, body)
        assert answer.status_code == 202, answer.text[:300]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ('{"data": ' + '{"a":' * 70 + "1" + "}" * 70 + "}", 400),
        ("[" * 100_000, 400),
        ('{"to": {"email": "a@example.com"}, "to": {"email": "b@example.com"}}', 400),
        ('{"to": NaN}', 400),
        ("", 422),
        ("{", 400),
        ('{"to": "' + "x" * 3_000_000 + '"}', 413),
    ],
)
async def test_a_body_that_is_no_plain_json_is_refused(
    sending: Sending, content: str, status: int
) -> None:
    answer = await sending.client.post(
        SEND, content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text[:300]
    assert answer.json()["code"]


async def test_deep_data_reaches_the_text(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    data: Any = "found"
    for _ in range(20):
        data = {"a": data}
    body = {"to": {"email": "a@example.com"}, "data": data,
            "content": {"subject": "x", "text": "{{ a" + ".a" * 19 + " }}"}}  # fmt: skip
    accepted = await post(sending, body)
    assert accepted.status_code == 202, accepted.text
    await sending.until(accepted.json()["job_id"], "sent")
    assert "found" in mail.mails[0].message.get_content()


async def test_64_at_once_under_one_key_make_one_notification(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    email = fresh_email()
    body = {"to": {"email": email}, "content": HELLO}
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(post(sending, body, **{"Idempotency-Key": "one"})) for _ in range(64)
        ]
    answers = [one.result() for one in asked]
    accepted = {one.json()["job_id"] for one in answers if one.status_code == 202}
    assert len(accepted) == 1
    # The others were told that it is under way, or that too many ask.
    assert {one.status_code for one in answers} <= {202, 409, 503}
    again = await post(sending, body, **{"Idempotency-Key": "one"})
    assert (again.status_code, {again.json()["job_id"]}) == (202, accepted)
    other = await post(sending, body | {"category": "general"}, **{"Idempotency-Key": "one"})
    assert other.status_code == 422
    await sending.until(accepted.pop())
    assert len(mail.to(email)) == 1
    assert len((await sending.client.get("/api/v1/notifications")).json()["items"]) == 1


async def test_a_replay_asked_for_twice_at_once_sends_once(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail, at_once=8)
    mail.on_end = lambda _: "554 5.6.0 cannot take this"
    accepted = await sending.send([{"email": fresh_email()} for _ in range(20)])
    await sending.until(accepted["job_id"])
    mail.on_end = lambda _: None
    body = {"states": ["failed"], "notification": accepted["job_id"], "expected": 20}
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(post(sending, body, "/api/v1/notifications/replay")) for _ in range(8)
        ]
    statuses = sorted(one.result().status_code for one in asked)
    told = [one.result().json() for one in asked if one.result().status_code == 200]
    assert set(statuses) <= {200, 422, 503}
    assert sum(one["count"] for one in told) == 20, told
    await sending.until(accepted["job_id"], "done")
    assert len(mail.mails) == 20


async def test_a_notification_is_cancelled_or_sent_but_not_both(
    sending: Sending, mail: MailServer
) -> None:
    """Cancelling and rescheduling race with each other and with the worker."""
    mail.delay_s = 0.01
    await sending.provider(mail, at_once=8)

    async def one(number: int) -> None:
        email = fresh_email()
        at = _later(sending, 0.2 + (number % 7) * 0.05)
        accepted = await sending.send({"email": email}, send_at=at)
        place = f"/api/v1/notifications/{accepted['job_id']}"
        await asyncio.sleep(0.01 * (number % 40))
        async with asyncio.TaskGroup() as group:
            cancelling = [group.create_task(sending.client.post(f"{place}/cancel")) for _ in "12"]
            moving = group.create_task(
                post(sending, {"send_at": _later(sending, 0.4)}, f"{place}/reschedule")
            )
        statuses = [task.result().status_code for task in cancelling]
        assert statuses in ([200, 409], [409, 200], [409, 409]), statuses
        assert moving.result().status_code in {200, 409}
        shown = await sending.until(accepted["job_id"])
        is_cancelled = 200 in statuses
        assert shown["status"] == ("cancelled" if is_cancelled else "done")
        assert len(mail.to(email)) == (0 if is_cancelled else 1)

    async def some(first: int) -> None:
        for number in range(first, 80, 8):
            await one(number)

    async with asyncio.TaskGroup() as group:
        for first in range(8):
            group.create_task(some(first))


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(sending: Sending, key: str) -> None:
    answer = await post(
        sending, {"to": {"email": "a@example.com"}, "content": HELLO}, **{"Idempotency-Key": key}
    )
    assert answer.status_code in {400, 422}, answer.text
