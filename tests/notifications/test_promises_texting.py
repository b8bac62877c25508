"""Nobody makes us pay for premium numbers: countries, ranges and budgets of text messages."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

import httpx
import pytest

from tests.chaos.mailbox import Phones, taking
from tests.notifications.conftest import Sending

PER_PREFIX, PER_DAY = 200, 1000
"""What the tests' settings allow."""
HELLO = {"text": "Your code is 123456."}


@pytest.fixture
async def phones() -> AsyncGenerator[Phones]:
    async with taking(Phones()) as phones:
        yield phones


async def provide(sending: Sending, phones: Phones, countries: Sequence[str] = ()) -> None:
    options = {
        "account_sid": "AC" + "3" * 32, "from_number": "+4915112345678",
        "status_callback": False, "endpoint": f"http://127.0.0.1:{phones.port}",
        "countries": list(countries),
    }  # fmt: skip
    answer = await sending.client.post(
        "/api/v1/notifications/providers",
        json={"kind": "twilio", "name": "texts", "options": options, "at_once": 16,
              "secrets": {"auth_token": "x"}},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text


def numbers(prefix: str, first: int, count: int) -> list[dict[str, str]]:
    """Numbers one after the other, as somebody tries them who earns by each."""
    return [{"phone": f"{prefix}{number:0{14 - len(prefix)}d}"} for number in range(first, count)]


async def post(
    sending: Sending, to: Sequence[dict[str, str]], send_at: str | None = None
) -> httpx.Response:
    """Send, and again if too many ask at once for the same budget: that is said to be temporary."""
    body = {"to": list(to), "content": HELLO, "send_at": send_at}
    while True:
        answer = await sending.client.post("/api/v1/notifications/send", json=body)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.05)


def assert_budget(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "sms-budget-exhausted")
    assert 0 < int(answer.headers["retry-after"]) <= 86_400


async def test_sequential_numbers_end_at_the_budget_of_their_prefix_whoever_asks_at_once(
    sending: Sending, phones: Phones
) -> None:
    await provide(sending, phones)
    some = numbers("+491511", 0, 320)

    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(post(sending, some[first : first + 5])) for first in range(0, 320, 5)
        ]
    answers = [one.result() for one in asked]
    accepted = [one for one in answers if one.status_code == 202]
    for refused in (one for one in answers if one.status_code != 202):
        assert_budget(refused)
    assert len(accepted) == PER_PREFIX // 5
    assert len(answers) == 64
    for one in accepted:
        await sending.until(one.json()["job_id"], within_s=20)
    assert len(phones.all()) == PER_PREFIX
    # Another range still has its own.
    assert (await post(sending, numbers("+491512", 0, 1))).status_code == 202


async def test_many_ranges_end_at_the_budget_of_the_workspace(
    sending: Sending, phones: Phones
) -> None:
    await provide(sending, phones)
    later = (sending.runtime.parts.clock.now() + timedelta(days=1)).isoformat()
    ranges = [numbers(f"+49151{digit}", 0, 150) for digit in range(10)]
    asked = [await post(sending, some, later) for some in ranges]
    sent = [one.status_code for one in asked]
    assert sent == [202] * 6 + [429] * 4
    assert_budget(asked[-1])
    assert "workspace" in asked[-1].json()["detail"]
    # What was refused has cost nothing: the last hundred go out.
    assert (await post(sending, numbers("+491519", 0, 100), later)).status_code == 202
    assert_budget(await post(sending, numbers("+491518", 0, 1), later))


async def test_only_listed_countries_are_sent_to(sending: Sending, phones: Phones) -> None:
    await provide(sending, phones)
    for foreign in ("+447400123456", "+12025550143", "+8821612345678", "+37253001234"):
        answer = await post(sending, [{"phone": foreign}])
        assert (answer.status_code, answer.json()["code"]) == (422, "sms-country-refused"), foreign
        assert foreign not in answer.text
    await sending.client.put("/api/v1/recipients/far", json={"phone": "+447400123456"})
    accepted = await sending.send({"recipient": "far"}, content=HELLO)
    shown = await sending.until(accepted["job_id"])
    (one,) = shown["deliveries"]
    assert (one["state"], one["reason"]) == ("failed", "sms-country-refused")
    assert phones.all() == []


async def test_to_repeat_what_was_sent_costs_as_much_as_sending(
    sending: Sending, phones: Phones
) -> None:
    await provide(sending, phones)
    first = await post(sending, numbers("+491511", 0, 120))
    await sending.until(first.json()["job_id"], within_s=20)
    path = f"/api/v1/notifications/{first.json()['job_id']}/resend"
    assert_budget(await sending.client.post(path, json={"only_failed": False}))
    await sending.execute(
        "UPDATE deliveries SET state = 'dead' WHERE workspace_id = $1 RETURNING id",
        sending.principal.workspace_id,
    )
    replay = {"states": ["dead"], "expected": 120}
    assert_budget(await sending.client.post("/api/v1/notifications/replay", json=replay))
    states = await sending.execute(
        "SELECT DISTINCT state FROM deliveries WHERE workspace_id = $1",
        sending.principal.workspace_id,
    )
    assert [row["state"] for row in states] == ["dead"]
    assert len(phones.all()) == 120


async def test_a_topic_that_is_over_the_budget_sends_to_nobody(
    sending: Sending, phones: Phones
) -> None:
    await provide(sending, phones)
    await sending.client.put("/api/v1/topics/codes", json={"name": "Codes"})
    await sending.execute(
        """
        WITH made AS (
          INSERT INTO recipients (id, workspace_id, external_id, phone)
          SELECT uuidv7(), $1, 'p' || n, '+491511' || lpad(n::text, 7, '0')
          FROM generate_series(1, $2::int) n RETURNING id
        )
        INSERT INTO topic_members (topic_id, recipient_id, workspace_id)
        SELECT t.id, made.id, $1 FROM made, topics t WHERE t.workspace_id = $1 RETURNING topic_id
        """,
        sending.principal.workspace_id,
        PER_PREFIX + 50,
    )
    accepted = await sending.send({"topic": "codes"}, content=HELLO)
    async with asyncio.timeout(20):
        while not await sending.execute(
            "SELECT 1 FROM tasks WHERE workspace_id = $1 AND attempts >= 2",
            sending.principal.workspace_id,
        ):
            await asyncio.sleep(0.1)
    shown = await sending.show(accepted["job_id"])
    assert (shown["ended_at"], shown["counts"]) == (None, {})
    answer = await sending.client.post(f"/api/v1/notifications/{accepted['job_id']}/cancel")
    assert answer.status_code == 200
    assert phones.all() == []


async def test_counts_of_days_that_are_over_are_forgotten(sending: Sending) -> None:
    owner = sending.principal.workspace_id
    await sending.execute(
        "INSERT INTO sms_usage (workspace_id, day, prefix, messages) "
        "SELECT $1, (now() AT TIME ZONE 'UTC')::date - n, '', 7 FROM unnest('{0,9}'::int[]) n "
        "RETURNING day",
        owner,
    )
    (forget,) = [one for one in sending.runtime.crons if one.name == "notifications.forget"]
    await forget.run()
    left = await sending.execute("SELECT messages FROM sms_usage WHERE workspace_id = $1", owner)
    assert len(left) == 1
