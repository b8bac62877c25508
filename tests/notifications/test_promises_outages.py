"""A provider that hangs holds up nobody else, is asked little, and is used again soon (P16)."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from posthouse.kernel.edge import App
from posthouse.notifications.breaker import MOST, Breaker
from tests.chaos.mailbox import Mailbox, Phones, taking
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.channels.rigs import subscription
from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import MailServer

AT_ONCE = 8


@pytest.fixture
async def hanging() -> AsyncGenerator[Mailbox]:
    """It takes connections and says nothing."""
    async with taking(Mailbox(is_hanging=True)) as mailbox:
        yield mailbox


@pytest.fixture
async def phones() -> AsyncGenerator[Phones]:
    async with taking(Phones()) as phones:
        yield phones


def served(by: Mailbox) -> MailServer:
    return MailServer(port=by.port)


async def tries(sending: Sending, provider: str) -> int:
    """How often this provider was asked."""
    rows = await sending.execute(
        "SELECT count(*) AS n FROM attempts a JOIN providers p ON p.id = a.provider_id "
        "WHERE a.workspace_id = $1 AND p.name = $2",
        sending.principal.workspace_id,
        provider,
    )
    return int(rows[0]["n"])


async def test_what_hangs_holds_up_no_other_channel_and_no_other_workspace_and_recovers(
    sending: Sending, hanging: Mailbox, phones: Phones, make: Maker, app: App
) -> None:
    await sending.provider(served(hanging), "hangs", at_once=AT_ONCE)
    await _texts(sending, phones)
    stuck = await sending.send([{"email": fresh_email()} for _ in range(60)])
    texts = await sending.send(
        [{"phone": f"+4915112{n:06d}"} for n in range(60)], content={"text": "Hello"}
    )
    workspace = await make.workspace()
    async with (
        taking(Mailbox()) as well,
        client_of(app, await make.key(workspace=workspace)) as client,
    ):
        other = Sending(client, await make.principal(workspace=workspace), sending.runtime)
        await other.provider(served(well))
        mails = await other.send([{"email": fresh_email()} for _ in range(60)])
        await other.until(mails["job_id"], within_s=20)
        await sending.until(texts["job_id"], within_s=20)
        assert (len(well.all()), len(phones.all())) == (60, 60)
    # The first calls run into their deadline; then the breaker is open for all that wait.
    async with asyncio.timeout(20):
        while (await sending.show(stuck["job_id"]))["counts"].get("sending", 0) or not (
            await tries(sending, "hangs")
        ):
            await asyncio.sleep(0.1)
    assert await tries(sending, "hangs") <= AT_ONCE + 1
    hanging.is_hanging = False
    shown = await sending.until(stuck["job_id"], within_s=40)
    assert shown["counts"] == {"sent": 60}
    assert len(hanging.all()) == 60
    assert await _most_tries(sending) <= 4  # what the tests' settings allow


async def test_another_provider_of_the_same_channel_takes_over(
    sending: Sending, hanging: Mailbox
) -> None:
    await sending.provider(served(hanging), "hangs", priority=10, at_once=AT_ONCE)
    async with taking(Mailbox()) as well:
        await sending.provider(served(well), "well", at_once=AT_ONCE)
        sent = [await sending.send([{"email": fresh_email()} for _ in range(40)]) for _ in range(2)]
        for one in sent:
            shown = await sending.until(one["job_id"], within_s=40)
            assert shown["counts"] == {"sent": 40}
        assert len(well.all()) == 80
        assert hanging.all() == []
    # A slow machine may look at the silent provider once more before its breaker is open.
    assert await tries(sending, "hangs") <= 4 * AT_ONCE
    assert await _most_tries(sending) <= 4


async def _texts(sending: Sending, phones: Phones) -> None:
    options = {
        "account_sid": "AC" + "4" * 32, "from_number": "+4915112345678",
        "status_callback": False, "endpoint": f"http://127.0.0.1:{phones.port}",
    }  # fmt: skip
    body: dict[str, Any] = {
        "kind": "twilio", "name": "texts", "options": options, "secrets": {"auth_token": "x"},
    }  # fmt: skip
    answer = await sending.client.post("/api/v1/notifications/providers", json=body)
    assert answer.status_code == 201, answer.text


async def _most_tries(sending: Sending) -> int:
    rows = await sending.execute(
        "SELECT max(attempts) AS most FROM deliveries WHERE workspace_id = $1",
        sending.principal.workspace_id,
    )
    return int(rows[0]["most"])


async def test_addresses_that_strangers_chose_open_no_breaker(sending: Sending) -> None:
    """A browser's subscription names any host: dead ones must not stop the push messages of all."""
    made = await sending.client.post(
        "/api/v1/notifications/providers",
        json={"kind": "webpush", "name": "push", "options": {"subject": "mailto:a@example.com"}},
    )
    assert made.status_code == 201, made.text
    await sending.client.put("/api/v1/recipients/ann", json={"name": "Ann"})
    for number in range(10):
        given = json.loads(subscription(f"https://gone-{number}.invalid/push"))
        added = await sending.client.post(
            "/api/v1/recipients/ann/devices", json={"kind": "webpush", "subscription": given}
        )
        assert added.status_code == 201, added.text
    accepted = await sending.send(
        {"recipient": "ann"}, channels=["push"], content={"title": "Hello", "text": "Hello"}
    )
    # With a breaker that opens after five failures these tries would take minutes.
    shown = await sending.until(accepted["job_id"], within_s=20)
    assert shown["counts"] == {"dead": 10}
    assert await tries(sending, "push") == 40


def test_a_breaker_opens_once_for_all_calls_that_were_under_way() -> None:
    breaker = Breaker()
    for _ in range(20 * MOST):
        breaker.begin()
    for _ in range(20 * MOST):
        breaker.fail(100.0)
    assert breaker.wait_s(100.0) == 2.0


def test_a_breaker_lets_one_through_when_its_time_is_over() -> None:
    breaker = Breaker()
    for _ in range(MOST):
        breaker.begin()
        breaker.fail(100.0)
    assert not breaker.allows(101.9)
    assert breaker.allows(102.0)
    breaker.begin()
    assert not breaker.allows(103.0)  # one is asked; the others wait for what becomes of it
    breaker.fail(103.0)
    assert not breaker.allows(106.9)
    assert breaker.allows(107.0)  # twice as long
    breaker.begin()
    breaker.succeed()
    assert breaker.allows(107.0)
    assert breaker.wait_s(107.0) == 0
