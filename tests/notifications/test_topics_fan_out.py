"""A topic fans out as a task: everybody once, in bounded memory, and it can be stopped."""

import asyncio
from datetime import timedelta
from typing import cast

from posthouse.kernel import ids
from posthouse.kernel.edge import App
from posthouse.notifications.service import FAN_OUT
from posthouse.tasks.model import NewTask
from posthouse.tasks.service import Tasks
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.conftest import Sending
from tests.notifications.mailserver import MailServer


async def follow(sending: Sending, count: int, key: str = "news") -> None:
    """A topic that so many follow."""
    await sending.client.put(f"/api/v1/topics/{key}", json={"name": key})
    await sending.execute(
        """
        WITH made AS (
          INSERT INTO recipients (id, workspace_id, external_id, email)
          SELECT uuidv7(), $1, $3 || n, $3 || n || '@example.com'
          FROM generate_series(1, $2::int) n RETURNING id
        )
        INSERT INTO topic_members (topic_id, recipient_id, workspace_id)
        SELECT t.id, made.id, $1 FROM made, topics t WHERE t.workspace_id = $1 AND t.key = $4
        RETURNING topic_id
        """,
        sending.principal.workspace_id,
        count,
        ids.fresh().hex,
        key,
    )


async def test_everybody_who_follows_gets_one(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail, at_once=32)
    await follow(sending, 1500)
    accepted = await sending.send({"topic": "news"})
    shown = await sending.show(accepted["job_id"])
    assert shown["task"].startswith("tsk_")
    shown = await sending.until(accepted["job_id"], within_s=30)
    assert shown["counts"] == {"sent": 1500}
    assert len({one.recipient for one in mail.mails}) == len(mail.mails) == 1500
    task = (await sending.client.get(f"/api/v1/tasks/{shown['task']}")).json()
    assert task["result"] == {"recipients": 1500}


async def test_a_topic_without_anybody_is_done(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await follow(sending, 0)
    accepted = await sending.send({"topic": "news"})
    shown = await sending.until(accepted["job_id"])
    assert (shown["status"], shown["counts"]) == ("done", {})


async def test_a_fan_out_can_be_stopped(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    await follow(sending, 20_000)
    later = sending.runtime.parts.clock.now() + timedelta(days=1)
    accepted = await sending.send({"topic": "news"}, send_at=later.isoformat())
    await asyncio.sleep(0.3)
    answer = await sending.client.post(f"/api/v1/notifications/{accepted['job_id']}/cancel")
    assert answer.status_code == 200
    shown = await sending.until(accepted["job_id"], within_s=20)
    assert shown["status"] == "cancelled"
    await asyncio.sleep(1)
    later = await sending.show(accepted["job_id"])
    assert set(later["counts"]) <= {"cancelled"}


async def test_fanning_out_twice_makes_none_twice(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail, at_once=32)
    await follow(sending, 300)
    accepted = await sending.send({"topic": "news"})
    shown = await sending.until(accepted["job_id"], within_s=20)
    await _fan_out_again(sending, accepted["job_id"])
    shown = await sending.show(accepted["job_id"])
    assert shown["counts"] == {"sent": 300}
    assert len(mail.mails) == 300


async def test_fanning_out_twice_takes_from_the_budget_once(sending: Sending) -> None:
    await sending.client.post(
        "/api/v1/notifications/providers", json={"kind": "console-sms", "name": "desk"}
    )
    await follow(sending, 0)
    for name, phone in (("ann", "+491701234567"), ("bob", "+491701234568")):
        await sending.client.put(f"/api/v1/recipients/{name}", json={"phone": phone})
        await sending.client.post("/api/v1/topics/news/members", json={"recipients": [name]})
    later = (sending.runtime.parts.clock.now() + timedelta(days=1)).isoformat()
    accepted = await sending.send(
        {"topic": "news"}, send_at=later, channels=["sms"], content={"text": "Hello"}
    )
    await sending.until(accepted["job_id"], lambda shown: shown["counts"].get("held") == 2)
    await _fan_out_again(sending, accepted["job_id"])
    used = await sending.execute(
        "SELECT messages FROM sms_usage WHERE workspace_id = $1 AND prefix = ''",
        sending.principal.workspace_id,
    )
    assert [row["messages"] for row in used] == [2]


async def _fan_out_again(sending: Sending, shown: str) -> None:
    """As after a worker that died between its last batch and the end of the task."""
    await sending.execute(
        "UPDATE notifications SET fan_out = 'waiting' WHERE workspace_id = $1 RETURNING id",
        sending.principal.workspace_id,
    )
    tasks = cast("Tasks", sending.runtime.services[Tasks])
    task = await tasks.submit(sending.principal, NewTask(FAN_OUT, {"notification": shown}))
    async with asyncio.timeout(10):
        while not (await tasks.find(sending.principal, task.id)).finished_at:
            await asyncio.sleep(0.05)


async def test_who_unfollows_before_it_is_dealt_out_gets_none(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    await sending.client.put("/api/v1/recipients/ann", json={"email": "ann@example.com"})
    await sending.client.put("/api/v1/topics/news", json={"name": "News"})
    for verb in ("members", "members/remove"):
        answer = await sending.client.post(
            f"/api/v1/topics/news/{verb}", json={"recipients": ["ann"]}
        )
        assert answer.status_code == 200, answer.text
    accepted = await sending.send({"topic": "news"})
    await sending.until(accepted["job_id"])
    assert mail.mails == []


async def test_one_who_sends_many_delays_another_by_little(
    sending: Sending, mail: MailServer, make: Maker, app: App
) -> None:
    mail.delay_s = 0.02
    await sending.provider(mail, at_once=4)
    await follow(sending, 20_000)
    await sending.send({"topic": "news"})
    await asyncio.sleep(3)
    workspace = await make.workspace()
    async with client_of(app, await make.key(workspace=workspace)) as client:
        other = Sending(client, await make.principal(workspace=workspace), sending.runtime)
        await other.provider(mail)
        begun = asyncio.get_running_loop().time()
        accepted = await other.send({"email": "b@example.com"})
        await other.until(accepted["job_id"])
        (one,) = mail.to("b@example.com")
        assert one.at - begun < 2
    await sending.execute(
        "UPDATE deliveries SET state = 'cancelled' WHERE workspace_id = $1 "
        "AND state NOT IN ('sent', 'sending') RETURNING id",
        sending.principal.workspace_id,
    )
