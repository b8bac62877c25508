"""Files go out with a message, are read when it does, and few at a time; a lost one is told."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx

from posthouse.files.public import FilesDoor
from posthouse.notifications.attaching import Attaching
from posthouse.notifications.model import NOTIFICATION, Notification
from posthouse.notifications.service import Notifications
from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import MailServer

INVOICE = b"%PDF-1.7\n" + bytes(range(256)) * 8


async def upload(client: httpx.AsyncClient, content: bytes = INVOICE) -> str:
    answer = await client.post(
        "/api/v1/files/upload", files={"file": ("invoice 7.pdf", content, "application/pdf")}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def test_a_file_goes_out_with_the_message(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    file = await upload(sending.client)
    to = [{"email": fresh_email()} for _ in range(3)]
    accepted = await sending.send(to, attachments=[file, file])
    assert (await sending.until(accepted["job_id"]))["counts"] == {"sent": 3}
    for one in mail.mails:
        parts = list(one.message.iter_attachments())
        assert [part.get_filename() for part in parts] == ["invoice 7.pdf"] * 2
        assert [part.get_content() for part in parts] == [INVOICE] * 2


async def test_a_file_that_is_gone_is_the_reason_of_the_failure(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    file = await upload(sending.client)
    soon = sending.runtime.parts.clock.now() + timedelta(seconds=1)
    accepted = await sending.send(
        {"email": fresh_email()}, attachments=[file], send_at=soon.isoformat()
    )
    assert (await sending.client.delete(f"/api/v1/files/{file}")).status_code == 204
    delivery = (await sending.until(accepted["job_id"]))["deliveries"][0]
    assert (delivery["state"], delivery["reason"]) == ("failed", "attachment-gone")
    assert delivery["attempts"] == []
    # It is no failure of the provider's: the next message goes out at once.
    after = await sending.send({"email": fresh_email()})
    await sending.until(after["job_id"], "sent")


async def test_only_so_many_bytes_of_files_are_in_memory(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail)
    files = sending.runtime.doors.get(FilesDoor)
    some = [await _with_file(sending, b"%d" % number * 1000) for number in range(3)]
    large = await _with_file(sending, b"x" * 5000)
    attaching = Attaching(files, most_bytes=2000)
    held = most = 0

    async def use(notification: Notification) -> None:
        nonlocal held, most
        async with attaching.reading(notification) as attachments:
            held += sum(len(one.content) for one in attachments)
            most = max(most, held)
            await asyncio.sleep(0.05)
            held -= sum(len(one.content) for one in attachments)

    async with asyncio.TaskGroup() as group:
        for one in some:
            group.create_task(use(one))
    assert most == 2000
    # One that is larger than the limit goes alone.
    async with asyncio.TaskGroup() as group:
        for one in (some[0], large, some[1]):
            group.create_task(use(one))
    assert most == 5000


async def _with_file(sending: Sending, content: bytes) -> Notification:
    file = await upload(sending.client, content)
    later = (sending.runtime.parts.clock.now() + timedelta(days=1)).isoformat()
    accepted = await sending.send({"email": fresh_email()}, attachments=[file], send_at=later)
    notifications: Any = sending.runtime.services[Notifications]
    wanted = NOTIFICATION.read(accepted["job_id"])
    found: Notification = await notifications.find(sending.principal, wanted)
    return found
