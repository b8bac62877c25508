"""Lanes: providers are opened once and before a message chooses, and are never left for good."""

import asyncio
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from posthouse.files.public import FilesDoor
from posthouse.kernel import ids
from posthouse.kernel.db import Row
from posthouse.kernel.leases import Lease
from posthouse.notifications.attaching import Attaching
from posthouse.notifications.breaker import MOST, Breaker
from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.lanes import Going, Lane, Ledger, ignore
from posthouse.notifications.model import (
    Accepted,
    Channel,
    EmailContent,
    Line,
    Notification,
    NotificationId,
    Outcome,
    Outgoing,
)
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.switchboard import Switchboard
from posthouse.runtime import Runtime
from tests.make import Maker
from tests.notifications.making import provider


class Silent:
    """A provider that is open."""

    async def send(self, outgoing: Outgoing) -> Outcome:
        return Accepted("")

    async def close(self) -> None:
        pass


async def test_no_channel_chooses_while_another_has_opened_but_some(
    make: Maker, runtime: Runtime
) -> None:
    owner = await make.principal()
    for name in ("first", "second"):
        await provider(make, owner, name)
    parts, settings = runtime.parts, NotificationsSettings()
    opened: list[UUID] = []
    may_open, is_asked = asyncio.Event(), asyncio.Event()

    async def opening(_: UUID, provider_id: UUID) -> Provider:
        opened.append(provider_id)
        is_asked.set()
        await may_open.wait()
        return Silent()

    ledger = Ledger(parts.db, settings)
    attaching = Attaching(runtime.doors.get(FilesDoor))
    board = Switchboard(parts.db, parts.clock, parts.limiter, settings, ledger, attaching, opening)
    seen: list[int] = []

    async def look() -> None:
        await board.refresh([owner.workspace_id])
        seen.append(len(board.lanes(owner.workspace_id, Channel.EMAIL)))

    async with asyncio.TaskGroup() as group:
        board.group = group
        group.create_task(look())
        await is_asked.wait()
        group.create_task(look())
        for _ in range(20):
            await asyncio.sleep(0)
        assert seen == []
        may_open.set()
        while len(seen) < 2:
            await asyncio.sleep(0.01)
        board.close()
    assert seen == [2, 2]
    assert len(opened) == len(set(opened)) == 2


async def test_a_probe_that_may_not_go_out_leaves_the_next_to_probe(
    make: Maker, runtime: Runtime
) -> None:
    owner = await make.principal()
    parts, settings = runtime.parts, NotificationsSettings()
    line = Line(
        ids.fresh(), owner.workspace_id, Channel.EMAIL, "smtp", "mail", 0, at_once=1,
        rate_per_s=None, version=1, is_paused=False,
    )  # fmt: skip
    lane = Lane(
        line, Silent(), Ledger(parts.db, settings), Attaching(runtime.doors.get(FilesDoor)),
        parts.limiter, parts.clock, settings, ignore, ignore, lambda: False,
        Breaker(failures=MOST),
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(lane.run())
        lane.put(_nobodys(owner.workspace_id))  # no such message is ours, so it is not marked
        async with asyncio.timeout(5):
            while not lane.returned:
                await asyncio.sleep(0.01)
        assert lane.trouble() == ""
        lane.close()
    assert lane.handed_over == 0


def _nobodys(workspace_id: UUID) -> Going:
    lease = Lease(ids.fresh(), workspace_id, 1, 1, cast("Row", {}))
    notification = Notification(
        id=NotificationId(ids.fresh()), workspace_id=workspace_id, category="general", priority=0,
        created_by="", role="", created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    outgoing = Outgoing("dlv_x", "ann@example.com", EmailContent("Hello", "Hello"))
    return Going(lease, outgoing, notification, consent=None, device_id=None)
