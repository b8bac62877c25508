"""What a provider's refusal leads to: the four classes, fail-over, the breaker."""

import asyncio

from posthouse.kernel.edge import App
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import DROP, MailServer, mail_server


async def test_a_transient_refusal_is_tried_again(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    answers = ["451 4.3.0 busy", "451 4.3.0 busy"]
    mail.on_rcpt = lambda _: answers.pop() if answers else None
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"])
    (one,) = shown["deliveries"]
    assert one["state"] == "sent"
    assert [attempt["outcome"] for attempt in one["attempts"]] == [
        "transient", "transient", "accepted",
    ]  # fmt: skip
    assert one["tries"] == 3
    assert len(mail.mails) == 1


async def test_what_is_refused_too_often_is_given_up_and_can_be_replayed(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    mail.on_rcpt = lambda _: "451 4.3.0 busy"
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"])
    (one,) = shown["deliveries"]
    assert (shown["status"], one["state"]) == ("failed", "dead")
    assert len(one["attempts"]) == 4  # what the tests' settings allow
    mail.on_rcpt = lambda _: None
    counted = await _replay(sending, notification=accepted["job_id"])
    assert counted == {"count": 1, "is_replayed": False}
    assert (await sending.show(accepted["job_id"]))["status"] == "failed"
    replayed = await _replay(sending, notification=accepted["job_id"], expected=1)
    assert replayed == {"count": 1, "is_replayed": True}
    shown = await sending.until(accepted["job_id"])
    assert shown["status"] == "done"
    assert mail.mails[0].id.startswith("<" + one["id"])


async def test_another_count_than_expected_changes_nothing(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    answer = await sending.client.post("/api/v1/notifications/replay", json={"expected": 3})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.expected"


async def test_a_permanent_refusal_is_final(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    mail.on_end = lambda _: "554 5.6.0 cannot take this"
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"])
    (one,) = shown["deliveries"]
    assert (one["state"], len(one["attempts"])) == ("failed", 1)
    assert one["attempts"][0]["outcome"] == "permanent"


async def test_an_address_that_is_not_there_is_not_tried_again_by_anybody(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    mail.on_rcpt = lambda _: "550 5.1.1 no such user"
    address = fresh_email()
    accepted = await sending.send({"email": address})
    await sending.until(accepted["job_id"], "failed")
    mail.on_rcpt = lambda _: None
    again = await sending.send({"email": address})
    shown = await sending.until(again["job_id"])
    assert shown["deliveries"][0]["state"] == "suppressed"
    assert mail.mails == []


async def test_a_provider_that_asks_to_slow_down_costs_no_attempt(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    answers = ["451 4.7.0 rate limit: too many messages"]
    mail.on_rcpt = lambda _: answers.pop() if answers else None
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(accepted["job_id"], within_s=15)
    (one,) = shown["deliveries"]
    assert [attempt["outcome"] for attempt in one["attempts"]] == ["throttled", "accepted"]
    assert one["tries"] == 1


async def test_a_provider_that_refuses_us_is_paused_and_nothing_is_lost(
    sending: Sending, mail: MailServer
) -> None:
    provider = await sending.provider(mail)
    mail.on_hello = lambda _: "554 5.7.1 you are not welcome here"
    accepted = await sending.send({"email": fresh_email()})
    shown = await sending.until(
        accepted["job_id"], lambda one: bool(one["deliveries"][0]["attempts"])
    )
    assert shown["deliveries"][0]["attempts"][0]["outcome"] == "config"
    found = await sending.client.get(f"/api/v1/notifications/providers/{provider}")
    assert found.json()["paused_at"] is not None
    why = await sending.client.get(f"/api/v1/notifications/{accepted['job_id']}/explain")
    assert why.json()["explained"][0]["rule"] == "providers-down"
    mail.on_hello = lambda _: None
    resumed = await sending.client.post(f"/api/v1/notifications/providers/{provider}/resume")
    assert resumed.status_code == 200
    shown = await sending.until(accepted["job_id"], within_s=30)
    assert shown["deliveries"][0]["state"] == "sent"
    assert shown["deliveries"][0]["tries"] == 1


async def test_a_definite_failure_goes_by_another_provider(
    sending: Sending, mail: MailServer
) -> None:
    async with mail_server() as broken:
        broken.on_rcpt = lambda _: "451 4.3.2 going down"
        first = await sending.provider(broken, "first", priority=10)
        second = await sending.provider(mail, "second")
        accepted = await sending.send({"email": fresh_email()})
        shown = await sending.until(accepted["job_id"])
        (one,) = shown["deliveries"]
        assert [attempt["provider"] for attempt in one["attempts"]] == [first, second]
        assert one["state"] == "sent"
        assert one["doubts"] == 0


async def test_a_doubt_is_not_a_failure_and_does_not_fail_over(
    sending: Sending, mail: MailServer
) -> None:
    async with mail_server() as broken:
        broken.on_end = lambda _: DROP
        await sending.provider(broken, "first", priority=10)
        await sending.provider(mail, "second")
        accepted = await sending.send({"email": fresh_email()})
        shown = await sending.until(
            accepted["job_id"], lambda one: one["deliveries"][0]["doubts"] > 0
        )
        assert shown["deliveries"][0]["attempts"][0]["outcome"] == "unknown"


async def test_a_provider_that_is_gone_opens_its_breaker(sending: Sending) -> None:
    async with mail_server() as gone:
        await sending.provider(gone)
    accepted = await sending.send([{"email": fresh_email()} for _ in range(40)])
    await asyncio.sleep(1.5)
    counts = await sending.execute(
        "SELECT count(*) AS n FROM attempts WHERE workspace_id = $1", sending.principal.workspace_id
    )
    # Of 40 messages in 1.5 s each would have been tried twice or more.
    assert counts[0]["n"] < 40
    shown = await sending.show(accepted["job_id"])
    assert set(shown["counts"]) <= {"queued", "held", "retry_wait", "leased"}


async def test_a_provider_that_hangs_holds_up_no_other_workspace(
    sending: Sending, mail: MailServer, make: Maker, app: App
) -> None:
    async with mail_server() as hanging:
        hanging.delay_s = 30
        await sending.provider(hanging, at_once=4)
        await sending.send([{"email": fresh_email()} for _ in range(200)])
        workspace = await make.workspace()
        key = await make.key(workspace=workspace)
        async with client_of(app, key) as client:
            principal = await make.principal(workspace=workspace)
            other = Sending(client, principal, sending.runtime)
            await other.provider(mail)
            accepted = await other.send({"email": fresh_email()})
            await other.until(accepted["job_id"])
            assert len(mail.mails) == 1
        await sending.execute(
            "UPDATE deliveries SET state = 'cancelled' WHERE workspace_id = $1 RETURNING id",
            sending.principal.workspace_id,
        )


async def _replay(sending: Sending, **body: object) -> dict[str, object]:
    answer = await sending.client.post("/api/v1/notifications/replay", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_suppression_list_does_not_look_at_capitals(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    mail.on_rcpt = lambda _: "550 5.1.1 no such user"
    accepted = await sending.send({"email": "Anna.Capital@example.com"})
    await sending.until(accepted["job_id"], "failed")
    again = await sending.send({"email": "anna.capital@example.com"})
    shown = await sending.until(again["job_id"])
    assert shown["deliveries"][0]["state"] == "suppressed"


async def test_the_suppression_list_knows_a_domain_in_either_spelling(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    answer = await sending.client.post(
        "/api/v1/suppressions", json={"channel": "email", "address": "ann@bücher.example"}
    )
    assert answer.json()["address"] == "ann@xn--bcher-kva.example"
    made = await sending.client.put("/api/v1/recipients/ann", json={"email": "ann@bücher.example"})
    assert made.status_code == 201, made.text
    for to in ({"recipient": "ann"}, {"email": "Ann@BÜCHER.example"}):
        shown = await sending.until((await sending.send(to))["job_id"])
        assert shown["deliveries"][0]["state"] == "suppressed", to
    assert mail.mails == []
