"""What the sketch of a notification system gets wrong: a function for each, named by its line."""

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from posthouse.app import create_app
from posthouse.notifications import public
from posthouse.notifications.api import sending as routes
from posthouse.notifications.service import Notifications
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.conftest import HELLO, Sending, fresh_email, sending
from tests.notifications.mailserver import DROP, MailServer, mail_server

__all__ = ["sending"]
SEND = "/api/v1/notifications/send"


@pytest.fixture
async def mail() -> AsyncGenerator[MailServer]:
    async with mail_server() as server:
        yield server


async def test_L0844_accepted_work_is_202_with_its_place(
    sending: Sending, mail: MailServer, make: Maker
) -> None:
    await sending.provider(mail)
    body = {"to": {"email": fresh_email()}, "content": HELLO}
    headers = {"Idempotency-Key": "order-7"}
    first = await sending.client.post(SEND, json=body, headers=headers)
    assert first.status_code == 202
    again = await sending.client.post(SEND, json=body, headers=headers)
    assert again.content == first.content
    place = first.headers["Location"]
    assert (await sending.client.get(place)).status_code == 200
    app = create_app(sending.runtime)
    async with client_of(app) as nobody, client_of(app, await make.key()) as other:
        assert (await nobody.post(SEND, json=body)).status_code == 401
        assert (await other.get(place)).status_code == 404


def test_L0844_the_route_and_the_worker_have_names_of_their_own() -> None:
    names = [name for name, _ in inspect.getmembers(routes, inspect.iscoroutinefunction)]
    assert "send" in names
    assert "send_notification" not in names
    assert inspect.iscoroutinefunction(Notifications.send)
    assert routes.send is not Notifications.send
    assert public.NotificationsDoor.send is not Notifications.send


async def test_L0849_preferences_are_checked_when_it_is_sent(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    await sending.client.put("/api/v1/recipients/ann", json={"email": fresh_email()})
    later = (sending.runtime.parts.clock.now() + timedelta(seconds=2)).isoformat()
    accepted = await sending.send({"recipient": "ann"}, send_at=later)
    switched = await sending.client.put(
        "/api/v1/recipients/ann/preferences", json={"categories": {"general": {"email": False}}}
    )
    assert switched.status_code == 200
    shown = await sending.until(accepted["job_id"])
    assert shown["deliveries"][0]["state"] == "skipped"
    assert mail.mails == []


async def test_L0850_the_message_is_a_row_of_the_transaction_that_answers(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    later = (sending.runtime.parts.clock.now() + timedelta(seconds=2)).isoformat()
    accepted = await sending.send({"email": fresh_email()}, send_at=later)
    rows = await sending.execute(
        "SELECT state FROM deliveries WHERE workspace_id = $1", sending.principal.workspace_id
    )
    assert [row["state"] for row in rows] == ["held"]
    # What Valkey knows may vanish at any moment.
    await sending.runtime.parts.cache.client.flushall()
    assert (await sending.until(accepted["job_id"]))["status"] == "done"


async def test_L0850_the_same_job_again_is_the_first_answer_again(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    body = {"to": {"email": fresh_email()}, "content": HELLO}

    async def ask() -> tuple[int, bytes]:
        headers = {"Idempotency-Key": "twice"}
        answer = await sending.client.post(SEND, json=body, headers=headers)
        return answer.status_code, answer.content

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(8)]
    # Whoever comes while the first still runs is told to come again.
    first = await ask()
    assert {one.result() for one in asked if one.result()[0] != 409} == {first}
    assert json.loads(first[1])["job_id"].startswith("ntf_")


async def test_L0852_what_is_kept_is_json(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    data = {"n": 1, "text": "\x80\x04 is how a pickle begins"}
    await sending.send({"email": fresh_email()}, data=data)
    (row,) = await sending.execute(
        "SELECT data, jsonb_typeof(data) AS kind FROM notifications WHERE workspace_id = $1",
        sending.principal.workspace_id,
    )
    assert row["kind"] == "object"
    assert row["data"] == data


@pytest.mark.parametrize(
    "at", ["2001-01-01T00:00:00Z", "2998-01-01T00:00:00Z", -5, 10**12, "tomorrow"]
)
async def test_L0853_a_time_is_absolute_and_bounded(
    sending: Sending, mail: MailServer, at: object
) -> None:
    await sending.provider(mail)
    body = {"to": {"email": fresh_email()}, "content": HELLO, "send_at": at}
    answer = await sending.client.post(SEND, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("body.send_at")


@pytest.mark.parametrize("channel", ["Email", "slack", "", "email "])
async def test_L0862_an_unknown_channel_is_an_error(
    sending: Sending, mail: MailServer, channel: str
) -> None:
    await sending.provider(mail)
    body = {"to": {"email": fresh_email()}, "content": HELLO, "channels": [channel]}
    answer = await sending.client.post(SEND, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.channels.0"


async def test_L0864_each_call_of_a_provider_is_a_row_and_none_is_repeated_for_another(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    bad, good = fresh_email(), fresh_email()
    drops = [DROP]
    mail.on_end = lambda to: drops.pop() if to == bad and drops else None
    accepted = await sending.send([{"email": bad}, {"email": good}])
    shown = await sending.until(accepted["job_id"])
    attempts = sorted(len(one["attempts"]) for one in shown["deliveries"])
    assert attempts == [1, 2]
    assert (len(mail.to(good)), len(mail.to(bad))) == (1, 1)
