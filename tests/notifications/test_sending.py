"""A message is accepted, sent once, and its status says so."""

from typing import Any

import pytest

from tests.notifications.conftest import HELLO, Sending, fresh_email
from tests.notifications.mailserver import MailServer


async def test_an_accepted_message_arrives(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": "anna@example.com"})
    assert accepted["job_id"].startswith("ntf_")
    assert accepted["status"] == "queued"
    shown = await sending.until(accepted["job_id"])
    assert shown["status"] == "done"
    assert shown["counts"] == {"sent": 1}
    (one,) = mail.mails
    assert (one.sender, one.recipient) == ("shop@example.com", "anna@example.com")
    assert one.message["Subject"] == "Hello"
    assert "How are you?" in one.message.get_content()
    assert one.id.startswith("<" + shown["deliveries"][0]["id"])


async def test_the_answer_says_where_the_status_is(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    answer = await sending.client.post(
        "/api/v1/notifications/send", json={"to": {"email": fresh_email()}, "content": HELLO}
    )
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/notifications/{answer.json()['job_id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (await sending.client.get(answer.headers["Location"])).status_code == 200


async def test_attempts_are_shown(sending: Sending, mail: MailServer) -> None:
    provider = await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"])
    (attempt,) = shown["deliveries"][0]["attempts"]
    assert attempt["provider"] == provider
    assert attempt["outcome"] == "accepted"
    assert attempt["ended_at"] >= attempt["started_at"]


async def test_an_address_is_shown_in_part(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": "anna.secret@example.com"})
    shown = await sending.show(accepted["job_id"])
    assert shown["deliveries"][0]["address"] == "a…@example.com"
    assert "anna.secret" not in str(shown)


async def test_a_list_makes_a_message_for_each(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    addresses = [fresh_email() for _ in range(300)]
    accepted = await sending.send([{"email": one} for one in addresses])
    shown = await sending.until(accepted["job_id"], within_s=20)
    assert shown["counts"] == {"sent": 300}
    assert sorted(one.recipient for one in mail.mails) == sorted(addresses)
    assert len({one.id for one in mail.mails}) == 300


async def test_one_address_twice_gets_one_message(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    accepted = await sending.send([{"email": "ANNA@example.com"}, {"email": "anna@example.com"}])
    shown = await sending.until(accepted["job_id"])
    assert shown["counts"] == {"sent": 1}


async def test_data_is_filled_in(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    content = {
        "subject": "Order {{ number }}",
        "text": "Dear {{ name }}",
        "html": "<p>Dear {{ name }}</p>",
    }
    data = {"number": 7, "name": "A & B"}
    accepted = await sending.send({"email": fresh_email()}, content=content, data=data)
    await sending.until(accepted["job_id"])
    message = mail.mails[0].message
    assert message["Subject"] == "Order 7"
    parts = {part.get_content_type(): part.get_content() for part in message.iter_parts()}
    assert "Dear A & B" in parts["text/plain"]
    assert "<p>Dear A &amp; B</p>" in parts["text/html"]


async def test_the_same_key_sends_once(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    body = {"to": {"email": fresh_email()}, "content": HELLO}
    headers = {"Idempotency-Key": "one"}
    first, second = [
        await sending.client.post("/api/v1/notifications/send", json=body, headers=headers)
        for _ in range(2)
    ]
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"
    await sending.until(first.json()["job_id"])
    assert len(mail.mails) == 1


async def test_a_batch_is_accepted_whole_or_not_at_all(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    good = {"to": {"email": fresh_email()}, "content": HELLO}
    bad = {"to": {"recipient": "nobody"}, "content": HELLO}
    answer = await sending.client.post(
        "/api/v1/notifications/batch", json={"items": [good, good, bad]}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.items.2.to.0.recipient"
    listed = await sending.client.get("/api/v1/notifications")
    assert listed.json()["items"] == []
    answer = await sending.client.post("/api/v1/notifications/batch", json={"items": [good, good]})
    assert answer.status_code == 202
    assert len({one["job_id"] for one in answer.json()["accepted"]}) == 2


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"to": {"email": "no address"}}, "body.to.0.email", "address-invalid"),
    ({"to": {"email": "a@b.example\r\nBcc: c@b.example"}}, "body.to.0.email", "address-invalid"),
    ({"to": {"recipient": "nobody"}}, "body.to.0.recipient", "unknown-recipient"),
    ({"to": {"topic": "nothing"}}, "body.to.0.topic", "unknown-topic"),
    ({"to": {"phone": "+4915112345678"}}, "body.to.0.phone", "channel-mismatch"),
    ({"content": {"text": "no subject"}}, "body.to.0.email", "channel-mismatch"),
    ({"to": {}}, "body.to.0", "not-one-target"),
    ({"to": []}, "body.to", "too-short"),
    ({"to": [{"topic": "news"}, {"email": "a@example.com"}]}, "body.to", "topic-not-alone"),
    ({"channels": ["sms"]}, "body.channels.0", "channel-not-configured"),
    ({"channels": ["slack"]}, "body.channels.0", "enum"),
    ({"channels": []}, "body.channels", "too-short"),
    ({"category": "unheard-of"}, "body.category", "unknown-category"),
    ({"template": "unheard-of"}, "body", "not-one-content"),
    ({"content": {"subject": "only"}}, "body.content", "no-content"),
    ({"send_at": "2001-01-01T00:00:00Z"}, "body.send_at", "in-the-past"),
    ({"send_at": "2999-01-01T00:00:00Z"}, "body.send_at", "too-far"),
    ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at", "not-in-order"),
    ({"attachments": ["fil_01jd0000000000000000000000"]}, "body.attachments.0", "unknown-file"),
    ({"priority": "urgent"}, "body.priority", "enum"),
    ({"colour": "red"}, "body.colour", "unknown-field"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field", "code"), REFUSED, ids=[one[1] + "-" + one[2] for one in REFUSED]
)
async def test_what_cannot_be_sent_is_refused_by_field(
    sending: Sending, mail: MailServer, changes: dict[str, Any], field: str, code: str
) -> None:
    await sending.provider(mail)
    body = {"to": {"email": "anna@example.com"}, "content": HELLO, **changes}
    answer = await sending.client.post("/api/v1/notifications/send", json=body)
    assert answer.status_code == 422, answer.text
    problems = {(one["field"], one["code"]) for one in answer.json()["errors"]}
    assert (field, code) in problems
    assert (await sending.client.get("/api/v1/notifications")).json()["items"] == []


async def test_without_a_provider_it_says_what_to_do(sending: Sending) -> None:
    refused = await sending.send({"email": fresh_email()}, expect=422)
    assert refused["code"] == "channel-not-configured"
    assert "/notifications/providers" in refused["detail"]


async def test_a_subject_of_two_lines_is_refused_when_it_is_rendered(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    content = {"subject": "Hello {{ name }}", "text": "Hi"}
    data = {"name": "Anna\r\nBcc: everybody@example.com"}
    accepted = await sending.send({"email": fresh_email()}, content=content, data=data)
    shown = await sending.until(accepted["job_id"])
    assert shown["status"] == "failed"
    assert mail.mails == []


async def test_a_list_can_be_filtered(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()})
    await sending.until(accepted["job_id"])
    for query, count in [("status=done", 1), ("status=queued", 0), ("category=general", 1),
                         ("since=2999-01-01T00:00:00Z", 0)]:  # fmt: skip
        listed = await sending.client.get(f"/api/v1/notifications?{query}")
        assert len(listed.json()["items"]) == count, query


async def test_an_id_that_none_can_have_is_that_of_no_notification(sending: Sending) -> None:
    for path, code in (
        ("notifications", "notification-not-found"),
        ("deliveries", "delivery-not-found"),
    ):
        answer = await sending.client.get(f"/api/v1/{path}/x")
        assert (answer.status_code, answer.json()["code"]) == (404, code)
