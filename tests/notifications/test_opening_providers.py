"""Providers are opened once, all of a workspace, before a message chooses among them."""

import asyncio
from uuid import UUID

from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.lanes import Ledger
from posthouse.notifications.model import Accepted, Channel, Outcome, Outgoing
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
    board = Switchboard(parts.db, parts.clock, parts.limiter, settings, ledger, opening)
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
