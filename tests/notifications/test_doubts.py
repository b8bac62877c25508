"""A message of which nobody knows whether it was taken: seen, counted, and settled by a policy."""

import asyncio
from datetime import timedelta
from typing import Any

from posthouse.kernel.clock import SystemClock
from posthouse.notifications.commands import waits_for_somebody
from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import DROP, MailServer


async def test_an_email_in_doubt_is_sent_again_with_the_same_id(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    drops = [DROP]
    mail.on_end = lambda _: drops.pop() if drops else None
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"])
    (one,) = shown["deliveries"]
    assert one["state"] == "sent"
    assert one["doubts"] == 1
    assert [attempt["outcome"] for attempt in one["attempts"]] == ["unknown", "accepted"]
    assert mail.lost[0].id == mail.mails[0].id
    why = await sending.client.get(f"/api/v1/notifications/{accepted['job_id']}/explain")
    assert "in doubt" in why.json()["explained"][0]["words"]


async def test_a_category_may_hold_doubts_for_a_person(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await _category(sending, "bills", doubts={"email": "hold"})
    mail.on_end = lambda _: DROP
    accepted = await sending.send({"email": fresh_email()}, category="bills")
    shown = await sending.until(
        accepted["job_id"], lambda one: one["deliveries"][0]["reason"] == "in-doubt-held"
    )
    assert shown["status"] == "sending"
    assert waits_for_somebody(shown)
    mail.on_end = lambda _: None
    await asyncio.sleep(1)
    assert mail.mails == []
    answer = await sending.client.post(
        "/api/v1/notifications/replay", json={"states": ["in_doubt"], "expected": 1}
    )
    assert answer.json() == {"count": 1, "is_replayed": True}
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] == "sent"
    assert shown["deliveries"][0]["doubts"] == 1
    assert not waits_for_somebody(shown)


async def test_a_category_may_assume_the_best(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await _category(sending, "ads", doubts={"email": "assume-sent"})
    mail.on_end = lambda _: DROP
    accepted = await sending.send({"email": fresh_email()}, category="ads")
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] == "sent"
    assert shown["deliveries"][0]["reason"] == "assumed-sent"
    assert len(mail.lost) == 1


async def test_what_a_dead_worker_was_sending_is_put_in_doubt(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    await _category(sending, "bills", doubts={"email": "hold"})
    accepted = await _as_if_its_worker_died(sending, "sending", category="bills")
    shown = await sending.until(accepted, "in_doubt")
    assert shown["deliveries"][0]["doubts"] == 1
    assert shown["deliveries"][0]["attempts"][0]["outcome"] == "unknown"
    assert mail.mails == []


async def test_what_a_dead_worker_only_held_is_simply_sent(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    accepted = await _as_if_its_worker_died(sending, "leased")
    shown = await sending.until(accepted)
    assert shown["deliveries"][0]["doubts"] == 0
    assert len(mail.mails) == 1


async def test_a_worker_that_lost_its_lease_settles_the_doubt_with_what_it_heard(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    await _category(sending, "bills", doubts={"email": "hold"})
    mail.delay_s = 3.0
    accepted = await sending.send({"email": fresh_email()}, category="bills")
    # Not only its status: it has to be marked before its lease can be lost.
    await sending.until(accepted["job_id"], lambda one: one["deliveries"][0]["state"] == "sending")
    await sending.execute(
        "UPDATE deliveries SET lease_until = now() - interval '1 s' WHERE workspace_id = $1 "
        "AND state = 'sending' RETURNING id",
        sending.principal.workspace_id,
    )
    await sending.until(accepted["job_id"], "in_doubt")
    # Held by the policy; then the late answer comes, and a look at it once more settles it.
    await asyncio.sleep(3.5)
    await sending.execute(
        "UPDATE deliveries SET ready_at = now() WHERE workspace_id = $1 RETURNING id",
        sending.principal.workspace_id,
    )
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] == "sent"
    assert len(mail.mails) == 1


async def _category(sending: Sending, key: str, **chosen: object) -> None:
    answer = await sending.client.put(
        f"/api/v1/notification-categories/{key}", json={"name": key, **chosen}
    )
    assert answer.status_code in {200, 201}, answer.text


async def _as_if_its_worker_died(sending: Sending, state: str, **chosen: Any) -> str:
    """A message that somebody claimed, and perhaps marked, long ago."""
    later = (SystemClock().now() + timedelta(days=1)).isoformat()
    accepted = await sending.send({"email": fresh_email()}, send_at=later, **chosen)
    if state == "sending":
        await sending.execute(
            "INSERT INTO attempts (delivery_id, number, workspace_id, provider_id) "
            "SELECT d.id, 1, $1, p.id FROM deliveries d JOIN providers p USING (workspace_id) "
            "WHERE d.workspace_id = $1 RETURNING number",
            sending.principal.workspace_id,
        )
    await sending.execute(
        "UPDATE deliveries SET state = $2, token = 1, attempts = 1, "
        "lease_until = now() - interval '1 s' WHERE workspace_id = $1 RETURNING id",
        sending.principal.workspace_id,
        state,
    )
    return str(accepted["job_id"])
