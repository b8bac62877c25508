"""Deals a notification out to all who follow a topic, a thousand at a time."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from posthouse.kernel.db import Database, Tx
from posthouse.kernel.leases import Leases
from posthouse.kernel.work import Ended, Result, Work
from posthouse.notifications import texting
from posthouse.notifications.addressing import Plan
from posthouse.notifications.errors import NotificationNotFoundError
from posthouse.notifications.model import NOTIFICATION, Channel, Notification
from posthouse.notifications.preparing import Preparing
from posthouse.notifications.service import Notifications
from posthouse.notifications.store import notifications as store
from posthouse.notifications.store import targets as target_store

_BATCH = 1000


class FanOutInput(BaseModel):
    """Which notification is dealt out."""

    notification: str


@dataclass(frozen=True, slots=True)
class FanningOut:
    """The work of dealing out; it may start again at any line, as its messages have fixed ids."""

    db: Database
    leases: Leases
    notifications: Notifications
    preparing: Preparing

    async def run(self, given: FanOutInput, work: Work) -> Result | None:
        """Make a message for each who follows the topic.

        Raises:
            NotificationNotFoundError: the notification is gone.
        """
        owner, wanted = work.principal.workspace_id, NOTIFICATION.read(given.notification)
        async with self.db.read() as connection:
            found = await store.find(connection, owner, wanted)
            if found is None or found.topic_id is None:
                raise NotificationNotFoundError
            total = await target_store.count_members(connection, owner, found.topic_id)
            providers = await target_store.providers(connection, owner)
        if found.fan_out != "waiting" or found.cancelled_at is not None:
            return {"messages": 0}
        compiled = (await self.preparing.load(found)).compiled
        configured = {channel for channel, _, _ in providers}
        channels = found.channels or [
            one for one in Channel if one in compiled.channels & configured
        ]
        plan = Plan(found, channels, found.channels is not None)
        countries = texting.countries_of(providers)
        done = 0
        after: UUID | None = None
        while True:
            await work.progress(done, max(done, total), "recipients")
            count, after = await self._batch(found, plan, countries, after)
            done += count
            if count < _BATCH:
                break
        async with work.finishing() as ending:
            await store.note_fan_out(ending.tx, owner, found.id, "done")
            await store.end(ending.tx, [found.id])
            ending.result = {"recipients": done}
        return None

    async def _batch(
        self,
        found: Notification,
        plan: Plan,
        countries: set[str] | None,
        after: UUID | None,
    ) -> tuple[int, UUID | None]:
        """Make the messages of the next thousand; gives how many they are and the last of them."""
        owner = found.workspace_id
        async with self.db.begin() as tx:
            now = await store.lock(tx, owner, found.id)
            if now is None or now.cancelled_at is not None or now.topic_id is None:
                return 0, after
            people = await target_store.members(tx, owner, now.topic_id, after=after, limit=_BATCH)
            await self.notifications.deal(tx, found, plan.messages(people), countries)
            await self.leases.tell(tx)
        return len(people), people[-1].id if people else after

    async def mourn(self, tx: Tx, ended: Ended) -> None:
        """The task failed or was cancelled: what was made is sent, no more comes."""
        given = FanOutInput.model_validate(ended.input)
        wanted = NOTIFICATION.read(given.notification)
        await store.note_fan_out(tx, ended.workspace_id, wanted, "failed")
        await store.end(tx, [wanted])
