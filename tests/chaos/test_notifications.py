"""An accepted message is never lost, and never silently sent twice (promises P1, P2 and P3).

Clients post and keep what was accepted; emails go to a server that knows no keys but sees each
Message-ID, text messages to one that acts on every request. Both lose one answer of a hundred
after they acted. Meanwhile workers, HTTP processes, Postgres and Valkey are killed.
"""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from posthouse.embedded import postgres, valkey
from posthouse.notifications.model import DELIVERY, NOTIFICATION
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, House, open_house
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.mailbox import Mailbox, Phones, taking

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WORKERS = ("worker0", "worker1")
CLIENTS = 8
DROPS = 0.01
AT_ONCE = 10
# All that ends by itself has ended; an SMS of which nobody knows waits for a person.
STILL_OPEN = """
SELECT state, reason, count(*) FROM deliveries
WHERE state NOT IN ('sent', 'failed', 'dead', 'expired') AND reason <> 'in-doubt-held'
GROUP BY 1, 2
"""


@pytest.fixture
async def sending_house() -> AsyncGenerator[House]:
    folder = Path(tempfile.mkdtemp(prefix="ph-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    async with open_house(
        folder / "data",
        workers=WORKERS,
        POSTHOUSE_NOTIFICATIONS_PRIVATE_PROVIDERS="true",
        POSTHOUSE_NOTIFICATIONS_LEASE_S="2",
        POSTHOUSE_NOTIFICATIONS_SENDING_S="4",
        POSTHOUSE_NOTIFICATIONS_DOUBT_S="0.5",
        POSTHOUSE_NOTIFICATIONS_RETRY_S="1",
        POSTHOUSE_NOTIFICATIONS_SMS_PER_DAY="100000",
        POSTHOUSE_NOTIFICATIONS_SMS_PER_PREFIX="100000",
    ) as house:
        yield house
        print(house.tail())  # noqa: T201  shown with a failure
    shutil.rmtree(folder)


@dataclass(slots=True)
class Posted:
    """What clients were promised: the addresses of each notification that was accepted."""

    load: Load
    accepted: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    async def post(self, number: int) -> None:
        to = _targets(number)
        answer = await self.load.insist(
            "POST",
            "/api/v1/notifications/send",
            {"to": to, "content": {"subject": "Hello", "text": f"This is number {number}."}},
            [HTTP[number % len(HTTP)]],
            Idempotency_Key=f"notification-{number}",
        )
        assert answer.status == 202, answer.body
        assert answer.json["job_id"] not in self.accepted
        self.accepted[answer.json["job_id"]] = [next(iter(one.values())) for one in to]


def _targets(number: int) -> list[dict[str, str]]:
    """Every fourth is a text message; the others are emails to one, two or three."""
    if number % 4 == 0:
        return [{"phone": f"+49151{number:08d}"}]
    return [{"email": f"n{number}-{one}@example.com"} for one in range(1 + number % 3)]


async def _set_up(house: House, mailbox: Mailbox, phones: Phones) -> None:
    line = house.line()
    for kind, options, secrets in (
        (
            "smtp",
            {"from_address": "shop@example.com", "host": "127.0.0.1", "port": mailbox.port,
             "tls": "none"},
            {},
        ),
        (
            "twilio",
            {"account_sid": "AC" + "1" * 32, "from_number": "+4915112345678",
             "status_callback": False, "endpoint": f"http://127.0.0.1:{phones.port}"},
            {"auth_token": "a-token-of-chaos"},
        ),
    ):  # fmt: skip
        body = {
            "kind": kind, "name": kind, "options": options, "secrets": secrets, "at_once": AT_ONCE,
        }  # fmt: skip
        answer = await line.ask("POST", "/api/v1/notifications/providers", body)
        assert answer.status == 201, answer.body
    line.close()


@dataclass(slots=True)
class Killer:
    """Carries out a plan, and counts what was in the hands of providers at each death."""

    house: House
    mailbox: Mailbox
    phones: Phones
    open_at_kills: int = 0

    async def do(self, step: str, dice: random.Random) -> None:
        match step:
            case "worker":
                part = dice.choice(WORKERS)
                self.open_at_kills += self.mailbox.open
                await self.house.restart(part)
            case "http":
                await self.house.restart(dice.choice(HTTP))
            case "flush":
                await _flush(self.house)
            case _:
                # An answer that cannot be noted before its lease is over leads to a doubt too.
                self.open_at_kills += self.mailbox.open if step == postgres.NAME else 0
                await self.house.crash_server(step)


async def _flush(house: House) -> None:
    """Forget all that is in Valkey."""
    reader, writer = await asyncio.open_unix_connection(house.place.sockets / "valkey.sock")
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()


async def test_no_accepted_message_is_lost_and_none_is_silently_sent_twice(
    sending_house: House, chaos: Chaos
) -> None:
    house, dice = sending_house, random.Random(chaos.seed)
    requests = int(chaos.pick(240, 5720))  # 1.75 messages each
    times = {
        "worker": int(chaos.pick(2, 20)), "flush": int(chaos.pick(1, 3)),
        postgres.NAME: int(chaos.pick(1, 3)), valkey.NAME: int(chaos.pick(0, 3)),
        "http": int(chaos.pick(0, 3)),
    }  # fmt: skip
    plan = [step for step, count in times.items() for _ in range(count)]
    dice.shuffle(plan)
    mailbox = Mailbox(random.Random(chaos.seed + 1), DROPS, slow_s=0.04)
    phones = Phones(random.Random(chaos.seed + 2), DROPS, slow_s=0.04)
    async with taking(mailbox), taking(phones):
        await _set_up(house, mailbox, phones)
        posted = Posted(Load(house, Ledger(house), chaos.seed))
        killer = Killer(house, mailbox, phones)

        async def post(client: int) -> None:
            for number in range(client, requests, CLIENTS):
                await posted.post(number)

        async def kill() -> None:
            for turn, step in enumerate(plan):
                while len(posted.accepted) < requests * (turn + 0.5) / len(plan):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(dice.random() * 0.1)
                await killer.do(step, dice)

        async with asyncio.timeout(1500), asyncio.TaskGroup() as group:
            group.create_task(kill())
            for client in range(CLIENTS):
                group.create_task(post(client))
        await _until_ended(house, 30 + requests / 20)
        story = f"seed {chaos.seed}, {plan}"
        found = await _deliveries(house)
        _check_known(posted, found, story)
        _check_emails(found, mailbox, killer, story)
        _check_texts(found, phones, story)
    figures = Counter(row["state"] for rows in found.values() for row in rows)
    unused = killer.open_at_kills + mailbox.dropped - mailbox.extra
    print(  # noqa: T201  the figures of this run
        f"{story}: {dict(figures)}, {mailbox.extra} emails twice ({mailbox.dropped} answers "
        f"dropped, {killer.open_at_kills} connections at kills, {unused} to spare), "
        f"{phones.dropped} answers about text messages dropped"
    )


async def _until_ended(house: House, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while left := await house.rows(STILL_OPEN):
            await asyncio.sleep(0.2)
            print([tuple(row) for row in left])  # noqa: T201  shown with a failure


async def _deliveries(house: House) -> dict[str, list[Any]]:
    """All messages with the outcomes of their attempts, by the notification that they belong to."""
    rows = await house.rows(
        """
        SELECT n.id AS notification, d.id, d.address, d.channel, d.state, d.reason, d.doubts,
          array(SELECT coalesce(a.outcome, 'none') FROM attempts a WHERE a.delivery_id = d.id)
            AS outcomes
        FROM notifications n LEFT JOIN deliveries d ON d.notification_id = n.id
        """
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(NOTIFICATION.show(row["notification"]), []).append(row)
    return found


def _check_known(posted: Posted, found: dict[str, list[Any]], story: str) -> None:
    """What was accepted is there, with a message to each; what was not accepted is not there."""
    assert found.keys() == posted.accepted.keys(), story
    for notification, addresses in posted.accepted.items():
        assert sorted(row["address"] for row in found[notification]) == sorted(addresses), story


def _check_emails(
    found: dict[str, list[Any]], mailbox: Mailbox, killer: Killer, story: str
) -> None:
    """All arrived; one that came twice has one key, and the doubt that led to it is noted."""
    keys: set[str] = set()
    for row in (row for rows in found.values() for row in rows if row["channel"] == "email"):
        taken, told = mailbox.to(row["address"]), (dict(row), story)
        assert row["state"] == "sent", told
        assert taken, told
        (key,) = {one.key for one in taken}
        assert key.startswith(DELIVERY.show(row["id"]) + "@"), told
        assert key not in keys, told
        keys.add(key)
        assert len(taken) == 1 or row["doubts"] >= 1, told
        _check_attempts(row, len(taken), story)
    assert mailbox.extra <= killer.open_at_kills + mailbox.dropped, story


def _check_texts(found: dict[str, list[Any]], phones: Phones, story: str) -> None:
    """None came twice; each arrived, or stands in doubt for a person to decide."""
    for row in (row for rows in found.values() for row in rows if row["channel"] == "sms"):
        taken, told = phones.to(row["address"]), (dict(row), story)
        assert len(taken) <= 1, told
        if row["state"] == "sent":
            assert len(taken) == 1, told
        else:
            assert (row["state"], row["doubts"]) == ("in_doubt", 1), told
        _check_attempts(row, len(taken), story)


def _check_attempts(row: Any, taken: int, story: str) -> None:
    """Each time that a provider took it is explained by an attempt, and no attempt is open."""
    outcomes = Counter(row["outcomes"])
    told = (dict(row), taken, story)
    assert set(outcomes) <= {"accepted", "unknown", "transient"}, told
    assert outcomes["accepted"] <= taken <= outcomes["accepted"] + outcomes["unknown"], told
    assert outcomes["unknown"] == row["doubts"], told
