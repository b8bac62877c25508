"""Later: at an instant, at everybody's own nine o'clock, not in quiet hours, not too late."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from posthouse.kernel.clock import SystemClock
from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import MailServer


def later(seconds: float) -> str:
    return (SystemClock().now() + timedelta(seconds=seconds)).isoformat()


async def test_a_scheduled_message_is_accepted_as_queued_and_goes_at_its_time(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    at = SystemClock().now() + timedelta(seconds=1.5)
    accepted = await sending.send({"email": fresh_email()}, send_at=at.isoformat())
    assert accepted["status"] == "queued"
    shown = await sending.show(accepted["job_id"])
    assert (shown["status"], shown["deliveries"][0]["state"]) == ("queued", "held")
    shown = await sending.until(accepted["job_id"])
    begun = datetime.fromisoformat(shown["deliveries"][0]["attempts"][0]["started_at"])
    assert begun >= at
    assert begun < at + timedelta(seconds=5)


async def test_a_scheduled_message_can_be_cancelled_once(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()}, send_at=later(1.5))
    place = f"/api/v1/notifications/{accepted['job_id']}/cancel"
    answer = await sending.client.post(place)
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    again = await sending.client.post(place)
    assert (again.status_code, again.json()["code"]) == (409, "not-stoppable")
    await asyncio.sleep(2.5)
    assert mail.mails == []


async def test_what_was_sent_cannot_be_cancelled(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()})
    await sending.until(accepted["job_id"])
    answer = await sending.client.post(f"/api/v1/notifications/{accepted['job_id']}/cancel")
    assert answer.status_code == 409


async def test_a_scheduled_message_can_be_sent_at_another_time(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    accepted = await sending.send({"email": fresh_email()}, send_at=later(3600))
    answer = await sending.client.post(
        f"/api/v1/notifications/{accepted['job_id']}/reschedule", json={"send_at": later(0.5)}
    )
    assert answer.status_code == 200
    shown = await sending.until(accepted["job_id"])
    assert shown["status"] == "done"
    again = await sending.client.post(
        f"/api/v1/notifications/{accepted['job_id']}/reschedule", json={"send_at": later(0.5)}
    )
    assert again.status_code == 409


async def test_a_local_time_is_each_recipients_own(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    zones = ["Pacific/Auckland", "Europe/Berlin", "America/Los_Angeles"]
    day = SystemClock().now().date() + timedelta(days=3)
    to = [{"email": fresh_email(), "timezone": zone} for zone in zones]
    accepted = await sending.send(to, send_at={"local": f"{day}T09:00"})
    shown = await sending.show(accepted["job_id"])
    found = {one["ready_at"] for one in shown["deliveries"]}
    wanted = {
        datetime.fromisoformat(f"{day}T09:00").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for zone in zones
    }
    assert {datetime.fromisoformat(one) for one in found} == wanted
    assert shown["local_send_at"] == f"{day}T09:00"


async def test_what_comes_too_late_is_not_sent(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    mail.on_rcpt = lambda _: "451 4.3.0 busy"
    accepted = await sending.send({"email": fresh_email()}, expires_at=later(0.6))
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] in {"expired", "dead"}
    other = await sending.send({"email": fresh_email()}, send_at=later(0.2), expires_at=later(0.21))
    shown = await sending.until(other["job_id"])
    assert shown["deliveries"][0]["state"] == "expired"
    assert mail.mails == []


async def test_in_quiet_hours_a_message_waits_for_their_end(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    now = SystemClock().now()
    start, end = now - timedelta(hours=1), now + timedelta(hours=2)
    await sending.client.put(
        "/api/v1/recipients/sleeper",
        json={"email": fresh_email(), "timezone": "UTC",
              "quiet_hours": {"from": f"{start:%H:%M}", "until": f"{end:%H:%M}"}},
    )  # fmt: skip
    accepted = await sending.send({"recipient": "sleeper"})
    shown = await sending.until(accepted["job_id"], "held")
    assert shown["deliveries"][0]["reason"] == "quiet-hours"
    until = datetime.fromisoformat(shown["deliveries"][0]["ready_at"])
    assert until == end.replace(second=0, microsecond=0)
    assert shown["deliveries"][0]["tries"] == 0
    why = await sending.client.get(f"/api/v1/notifications/{accepted['job_id']}/explain")
    (told,) = why.json()["explained"]
    assert (told["rule"], told["act"]) == ("quiet-hours", "held")
    assert "It is quiet for the recipient" in told["words"]
    # What is critical does not wait.
    await sending.client.put(
        "/api/v1/notification-categories/codes", json={"name": "Codes", "critical": True}
    )
    urgent = await sending.send({"recipient": "sleeper"}, category="codes")
    assert (await sending.until(urgent["job_id"]))["status"] == "done"
