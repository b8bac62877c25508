"""Why: for each message the rule that decided, before and after."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.deciding import ACTS, Act, Case, Route, Rule, decide, explain
from posthouse.notifications.model import Channel
from tests.notifications.conftest import HELLO, Sending, fresh_email
from tests.notifications.mailserver import MailServer


async def ask(sending: Sending, to: Any, **chosen: Any) -> list[dict[str, Any]]:
    if "template" not in chosen:
        chosen.setdefault("content", HELLO)
    answer = await sending.client.post("/api/v1/notifications/explain", json={"to": to, **chosen})
    assert answer.status_code == 200, answer.text
    return answer.json()["explained"]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    (told,) = await ask(
        sending, {"email": fresh_email()}, content={"subject": "{{ a }}", "text": "{{ a }}!"},
        data={"a": "Hi"},
    )  # fmt: skip
    assert (told["act"], told["rule"]) == ("send", "send")
    assert told["content"]["subject"] == "Hi"
    assert told["state"] is None
    assert (await sending.client.get("/api/v1/notifications")).json()["items"] == []
    assert mail.mails == []


async def test_a_dry_run_makes_no_link(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await ask(sending, {"email": fresh_email()}, links={"shop": "https://shop.example.com/"})
    assert (await sending.client.get("/api/v1/links")).json()["items"] == []


async def test_each_rule_up_to_the_one_that_decides_is_told(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    address = fresh_email()
    await sending.client.post("/api/v1/suppressions", json={"channel": "email", "address": address})
    (told,) = await ask(sending, {"email": address})
    assert told["rule"] == "suppressed"
    assert [one["rule"] for one in told["rules"]] == [
        "cancelled", "expired", "no-address", "suppressed",
    ]  # fmt: skip
    assert [one["decides"] for one in told["rules"]] == [False, False, False, True]


async def test_a_recipient_without_an_address_is_told_so(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    await sending.client.put("/api/v1/recipients/bob", json={"name": "Bob"})
    (told,) = await ask(sending, {"recipient": "bob"})
    assert told["rule"] == "no-address"
    accepted = await sending.send({"recipient": "bob"})
    shown = await sending.until(accepted["job_id"])
    assert (shown["deliveries"][0]["state"], shown["deliveries"][0]["reason"]) == (
        "skipped", "no-address",
    )  # fmt: skip


async def test_what_was_decided_is_told_as_it_was_then(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await sending.client.put("/api/v1/recipients/eve", json={"email": fresh_email()})
    switched = await sending.client.put(
        "/api/v1/recipients/eve/preferences", json={"categories": {"general": {"email": False}}}
    )
    if switched.status_code == 404:  # that path takes our own ids only
        found = await sending.client.get("/api/v1/recipients?external_id=eve")
        own = found.json()["items"][0]["id"]
        switched = await sending.client.put(
            f"/api/v1/recipients/{own}/preferences",
            json={"categories": {"general": {"email": False}}},
        )
    assert switched.status_code == 200, switched.text
    accepted = await sending.send({"recipient": "eve"})
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] == "skipped"
    why = await sending.client.get(f"/api/v1/notifications/{accepted['job_id']}/explain")
    (told,) = why.json()["explained"]
    assert (told["act"], told["rule"]) == ("skipped", "preference")
    assert "general" in told["words"]


ADDRESS = "anna@example.com"


@given(
    is_cancelled=st.booleans(),
    is_critical=st.booleans(),
    is_stopped=st.booleans(),
    choice=st.sampled_from([None, True, False]),
    suppressed=st.sampled_from([None, "bounced"]),
    address=st.sampled_from([None, ADDRESS]),
    routes=st.lists(
        st.builds(Route, st.just("one"), st.sampled_from(["", "down"])), max_size=2
    ),
)  # fmt: skip
def test_what_explain_says_is_what_sending_does(
    is_cancelled: bool, is_critical: bool, is_stopped: bool, choice: bool | None,
    suppressed: str | None, address: str | None, routes: list[Route],
) -> None:  # fmt: skip
    from datetime import UTC, datetime

    case = Case(
        datetime(2026, 1, 1, tzinfo=UTC), Channel.EMAIL, "news", address,
        is_cancelled=is_cancelled, is_critical=is_critical, is_stopped=is_stopped, choice=choice,
        suppressed_for=suppressed, routes=routes,
    )  # fmt: skip
    verdict, findings = explain(case)
    assert verdict == decide(case)
    assert [one.decides for one in findings] == [False] * (len(findings) - 1) + [True]
    assert findings[-1].rule is verdict.rule
    if is_critical:
        assert verdict.rule not in {Rule.STOPPED, Rule.PREFERENCE, Rule.QUIET_HOURS}
    if suppressed and address and not is_cancelled:
        assert verdict.act is Act.SUPPRESS
    if verdict.act is Act.SEND:
        assert address
        assert any(not route.trouble for route in routes)
        assert is_critical or (choice is not False and not is_stopped)


def test_every_rule_leads_somewhere() -> None:
    assert set(ACTS) == set(Rule)


@pytest.mark.parametrize("to", [{"recipient": "nobody"}, {"email": "nothing"}, {"topic": "none"}])
async def test_what_cannot_be_sent_cannot_be_explained(
    sending: Sending, mail: MailServer, to: dict[str, str]
) -> None:
    await sending.provider(mail)
    answer = await sending.client.post(
        "/api/v1/notifications/explain", json={"to": to, "content": HELLO}
    )
    assert answer.status_code == 422
