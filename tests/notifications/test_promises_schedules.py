"""On time, never early, by the database's clock alone (promise P5).

The mail server notes when it took a mail by the clock of this machine, which Postgres has too.
"""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

import pytest

from posthouse.app import create_app
from posthouse.kernel.clock import Clock, SystemClock
from posthouse.kernel.supervise import Loop, supervise
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.worker import work
from tests.chaos.mailbox import Mailbox, taking
from tests.conftest import client_of
from tests.databases import own_database
from tests.make import Maker
from tests.notifications.conftest import HELLO, Sending, fresh_email
from tests.notifications.mailserver import MailServer

QUICK, LONG = (300, 4.0), (1000, 60.0)
"""How many are due, over how many seconds; LONG with `--chaos long`."""


@dataclass(frozen=True)
class WrongClock:
    """A clock that is off by so much."""

    off_s: float
    right: Clock

    def now(self) -> datetime:
        return self.right.now() + timedelta(seconds=self.off_s)

    def epoch_s(self) -> float:
        return self.right.epoch_s() + self.off_s

    def monotonic(self) -> float:
        return self.right.monotonic()


@pytest.fixture
async def mailbox() -> AsyncGenerator[Mailbox]:
    async with taking(Mailbox()) as mailbox:
        yield mailbox


async def send_later(
    sending: Sending, count: int, dice: random.Random, spread_s: float = QUICK[1]
) -> dict[str, datetime]:
    """Send so many, each at its own millisecond of the next seconds: {address: its time}."""
    begun = sending.runtime.parts.clock.now()
    due = {
        fresh_email(): begun + timedelta(seconds=1 + dice.random() * spread_s) for _ in range(count)
    }
    items = [
        {"to": {"email": email}, "content": HELLO, "send_at": at.isoformat()}
        for email, at in due.items()
    ]
    for first in range(0, count, 100):
        answer = await sending.client.post(
            "/api/v1/notifications/batch", json={"items": items[first : first + 100]}
        )
        assert answer.status_code == 202, answer.text
    return due


async def until_taken(mailbox: Mailbox, emails: Any) -> None:
    async with asyncio.timeout(90):
        while not all(mailbox.to(email) for email in emails):
            await asyncio.sleep(0.05)


async def test_what_is_due_at_any_millisecond_is_never_early(
    sending: Sending, mailbox: Mailbox, pytestconfig: pytest.Config
) -> None:
    count, spread_s = LONG if pytestconfig.getoption("chaos") == "long" else QUICK
    await sending.provider(MailServer(port=mailbox.port), at_once=16)
    due = await send_later(sending, count, random.Random(5), spread_s)
    await until_taken(mailbox, due)
    late = [mailbox.to(email)[0].wall_s - at.timestamp() for email, at in due.items()]
    assert all(len(mailbox.to(email)) == 1 for email in due)
    assert min(late) >= 0, sorted(late)[:10]
    p50, p99 = quantiles(late, n=100)[49], quantiles(late, n=100)[98]
    print(f"{count} due over {spread_s:g} s: late by {p50:.3f} s, p99 {p99:.3f} s")  # noqa: T201


async def test_what_is_put_off_is_not_sent_at_its_old_time(
    sending: Sending, mailbox: Mailbox
) -> None:
    """Half are moved while their time comes; those that could be are sent at the new one alone."""
    await sending.provider(MailServer(port=mailbox.port), at_once=16)
    dice, moved = random.Random(6), dict[str, datetime]()
    clock = sending.runtime.parts.clock

    async def one() -> None:
        email = fresh_email()
        at = clock.now() + timedelta(seconds=0.3 + dice.random())
        accepted = await sending.send({"email": email}, send_at=at.isoformat())
        await asyncio.sleep(dice.random() * 1.4)
        later = clock.now() + timedelta(seconds=3)
        answer = await sending.client.post(
            f"/api/v1/notifications/{accepted['job_id']}/reschedule",
            json={"send_at": later.isoformat()},
        )
        assert answer.status_code in {200, 409}, answer.text
        if answer.status_code == 200:
            moved[email] = later
        else:
            await sending.until(accepted["job_id"])
            assert mailbox.to(email)

    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(one())
    await until_taken(mailbox, moved)
    assert 5 < len(moved) < 55
    for email, at in moved.items():
        assert [one.wall_s >= at.timestamp() for one in mailbox.to(email)] == [True]


@asynccontextmanager
async def house_whose_worker_is_off(settings: Settings, off_s: float) -> AsyncGenerator[Runtime]:
    """A database of its own; requests have the right time, the only worker has another."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(own_database(settings.database_url))
        chosen = settings.model_copy(update={"database_url": url})
        runtime = await stack.enter_async_context(open_runtime(chosen))
        clock = WrongClock(off_s, SystemClock())
        other = await stack.enter_async_context(open_runtime(chosen, clock=clock))
        await stack.enter_async_context(supervise([Loop("worker", lambda: work(other, stop))]))
        yield runtime
        stop.set()


@pytest.mark.parametrize("off_s", [3600.0, -3600.0])
async def test_a_worker_whose_clock_is_an_hour_off_changes_nothing(
    settings: Settings, mailbox: Mailbox, off_s: float
) -> None:
    async with house_whose_worker_is_off(settings, off_s) as runtime:
        make = Maker(runtime)
        workspace = await make.workspace()
        key = await make.key(workspace=workspace)
        principal = await make.principal(workspace=workspace)
        async with client_of(create_app(runtime), key) as client:
            sending = Sending(client, principal, runtime)
            await sending.provider(MailServer(port=mailbox.port))
            due = await send_later(sending, 40, random.Random(7))
            now = runtime.parts.clock.now()
            soon = await sending.send(
                {"email": fresh_email()}, expires_at=(now + timedelta(minutes=20)).isoformat()
            )
            assert (await sending.until(soon["job_id"]))["status"] == "done"
            await until_taken(mailbox, due)
            assert all(mailbox.to(email)[0].wall_s >= at.timestamp() for email, at in due.items())
            await _quiet_hours_are_those_of_the_database(sending, now)
            await _what_waits_for_a_provider_waits_seconds(sending)


async def _quiet_hours_are_those_of_the_database(sending: Sending, now: datetime) -> None:
    start, end = now - timedelta(minutes=20), now + timedelta(minutes=20)
    hours = {"from": f"{start:%H:%M}", "until": f"{end:%H:%M}"}
    await sending.client.put(
        "/api/v1/recipients/sleeper",
        json={"email": fresh_email(), "timezone": "UTC", "quiet_hours": hours},
    )
    accepted = await sending.send({"recipient": "sleeper"})
    shown = await sending.until(accepted["job_id"], "held")
    until = datetime.fromisoformat(shown["deliveries"][0]["ready_at"])
    assert until == end.replace(second=0, microsecond=0)


async def _what_waits_for_a_provider_waits_seconds(sending: Sending) -> None:
    """It is looked at again soon, and not before: neither at once nor in an hour."""
    clock = sending.runtime.parts.clock
    at = clock.now() + timedelta(seconds=2)
    accepted = await sending.send({"email": fresh_email()}, send_at=at.isoformat())
    (provider,) = (await sending.client.get("/api/v1/notifications/providers")).json()["items"]
    path = f"/api/v1/notifications/providers/{provider['id']}"
    assert (await sending.client.patch(path, json={"is_enabled": False})).status_code == 200
    shown = await sending.until(
        accepted["job_id"], lambda one: one["deliveries"][0]["reason"] == "no-provider"
    )
    again = datetime.fromisoformat(shown["deliveries"][0]["ready_at"])
    assert timedelta(0) < again - clock.now() < timedelta(minutes=1)
