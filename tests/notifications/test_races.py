"""Nothing is sent after a no: 500 people change their mind while mail to them goes out (P6).

The mail server and the clients share a process and its monotonic clock. The server takes a while
over each mail, so at the time of the answer there nearly always are some in its hands.
"""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

import httpx
import pytest

from posthouse.notifications.consentlinks import ConsentLinks
from posthouse.notifications.model import GENERAL, RECIPIENT, Channel, RecipientId
from posthouse.notifications.store import consents as store
from tests.chaos.mailbox import Mailbox, taking
from tests.notifications.conftest import HELLO, Sending, fresh_email
from tests.notifications.mailserver import MailServer

SLOW_S = 0.06
AT_ONCE = 32
CLIENTS = 24
STOP = {"stopped": "on", "quiet_from": "", "quiet_until": ""}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def mailbox() -> AsyncGenerator[Mailbox]:
    async with taking(Mailbox(random.Random(1), slow_s=SLOW_S)) as mailbox:
        yield mailbox


@dataclass(slots=True)
class Person:
    """Somebody to whom mail is going out."""

    id: str
    email: str
    notification: str


@dataclass(slots=True)
class Races:
    """Sends to people and lets them change their mind a moment later."""

    sending: Sending
    dice: random.Random
    said_at: dict[str, float] = field(default_factory=dict[str, float])
    refused: int = 0

    @property
    def links(self) -> ConsentLinks:
        return cast("ConsentLinks", self.sending.runtime.services[ConsentLinks])

    async def run(self, count: int, say_no: list[Callable[[Person], Awaitable[bool]]]) -> None:
        async def client(first: int) -> None:
            for number in range(first, count, CLIENTS):
                await self.one(number, say_no[number % len(say_no)])

        async with asyncio.TaskGroup() as group:
            for first in range(min(CLIENTS, count)):
                group.create_task(client(first))
        await asyncio.sleep(2.5)  # all that would come, comes

    async def one(self, number: int, say_no: Callable[[Person], Awaitable[bool]]) -> None:
        external_id, email = f"racer-{number}", f"Race{number}.{fresh_email()}"
        made = await self.sending.client.put(
            f"/api/v1/recipients/{external_id}", json={"email": email}
        )
        assert made.status_code == 201, made.text
        to = {"recipient": external_id} if number % 2 else {"recipient": made.json()["id"]}
        accepted = await self.sending.send(to)
        await asyncio.sleep(self.dice.random() * 0.12)
        if await say_no(Person(made.json()["id"], email, accepted["job_id"])):
            self.said_at[email] = monotonic()
        else:
            self.refused += 1

    async def by_one_click(self, person: Person) -> bool:
        url = self.links.unsubscribe_url(
            self.sending.principal.workspace_id,
            Channel.EMAIL,
            GENERAL,
            recipient_id=_id(person),
        )
        return _is_done(await self.sending.client.post(urlsplit(url).path, data=ONE_CLICK))

    async def by_page(self, person: Person) -> bool:
        owner = self.sending.principal.workspace_id
        path = urlsplit(self.links.preferences_url(owner, _id(person))).path
        return _is_done(await self.sending.client.post(path, data=STOP))

    async def by_api(self, person: Person) -> bool:
        wanted = {"categories": {GENERAL: {"email": False}}}
        return _is_done(
            await self.sending.client.put(
                f"/api/v1/recipients/{person.id}/preferences", json=wanted
            )
        )

    async def by_suppression(self, person: Person) -> bool:
        body = {"channel": "email", "address": person.email}
        return _is_done(await self.sending.client.post("/api/v1/suppressions", json=body))

    async def by_erasure(self, person: Person) -> bool:
        return _is_done(await self.sending.client.delete(f"/api/v1/recipients/{person.id}"))

    async def by_cancelling(self, person: Person) -> bool:
        """False if it was too late: then the answer says so."""
        answer = await self.sending.client.post(
            f"/api/v1/notifications/{person.notification}/cancel"
        )
        if answer.status_code == 409:
            return False
        return _is_done(answer)

    async def without_settling(self, person: Person) -> bool:
        """Write the choice as the API does, but do not wait for what is under way."""
        owner = self.sending.principal.workspace_id
        async with self.sending.runtime.parts.db.begin() as tx:
            await store.put_choices(tx, owner, _id(person), {(GENERAL, "email"): False})
            await tx.execute(
                "UPDATE recipients SET consent = consent + 1 WHERE id = $1", _id(person)
            )
        return True

    def late(self, mailbox: Mailbox) -> list[str]:
        """Who got mail after the answer to their no."""
        return [
            email
            for email, said_at in self.said_at.items()
            if any(one.at > said_at for one in mailbox.to(email))
        ]


def _id(person: Person) -> RecipientId:
    return RecipientId(RECIPIENT.read(person.id))


def _is_done(answer: httpx.Response) -> bool:
    assert answer.is_success, answer.text
    return True


async def test_after_a_no_nothing_is_sent(sending: Sending, mailbox: Mailbox) -> None:
    await sending.provider(_server(mailbox), at_once=AT_ONCE)
    races = Races(sending, random.Random(2))
    await races.run(
        500,
        [
            races.by_one_click, races.by_page, races.by_api, races.by_suppression,
            races.by_erasure, races.by_cancelling,
        ],
    )  # fmt: skip
    assert races.late(mailbox) == []
    # The race was one: some were in time, and some were not.
    in_time = sum(1 for email in races.said_at if not mailbox.to(email))
    assert in_time > 50
    assert len(races.said_at) - in_time > 50
    assert len(races.said_at) + races.refused == 500


async def test_without_waiting_the_races_above_would_find_mail_that_comes_after_a_no(
    sending: Sending, mailbox: Mailbox
) -> None:
    """The proof that `test_after_a_no_nothing_is_sent` can fail: what `settle` is there for."""
    await sending.provider(_server(mailbox), at_once=AT_ONCE)
    races = Races(sending, random.Random(3))
    await races.run(100, [races.without_settling])
    assert races.late(mailbox)


async def test_a_no_counts_however_the_address_is_spelt(sending: Sending, mailbox: Mailbox) -> None:
    await sending.provider(_server(mailbox))
    bare, known = f"Bare.{fresh_email()}", f"Known.{fresh_email()}"
    url = Races(sending, random.Random(4)).links.unsubscribe_url(
        sending.principal.workspace_id, Channel.EMAIL, GENERAL, address=bare
    )
    assert (await sending.client.post(urlsplit(url).path, data=ONE_CLICK)).status_code == 200
    await sending.client.put("/api/v1/recipients/known", json={"email": known})
    body = {"channel": "email", "address": known.upper()}
    assert (await sending.client.post("/api/v1/suppressions", json=body)).status_code == 201
    for to in ({"email": bare}, {"email": bare.lower()}, {"recipient": "known"}, {"email": known}):
        body = {"to": to, "content": HELLO}
        would = await sending.client.post("/api/v1/notifications/explain", json=body)
        assert would.json()["explained"][0]["rule"] == "suppressed", to
        accepted = await sending.send(to)
        shown = await sending.until(accepted["job_id"])
        assert shown["deliveries"][0]["state"] == "suppressed", to
    assert mailbox.all() == []


async def test_an_address_that_bounced_is_bad_however_it_is_spelt(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    address = f"Gone.{fresh_email()}"
    mail.on_rcpt = lambda _: "550 5.1.1 no such user"
    accepted = await sending.send({"email": address})
    await sending.until(accepted["job_id"], "failed")
    for spelling in (address, address.lower()):
        again = await sending.send({"email": spelling})
        shown = await sending.until(again["job_id"])
        assert shown["deliveries"][0]["state"] == "suppressed", spelling
    body = {"channel": "email", "address": address}
    removed = await sending.client.post("/api/v1/suppressions/remove", json=body)
    assert removed.status_code == 204


def _server(mailbox: Mailbox) -> MailServer:
    return MailServer(port=mailbox.port)
