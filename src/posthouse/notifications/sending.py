"""Sends: claims what is ready, prepares it and deals it to the lanes of providers."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from posthouse.kernel import events
from posthouse.kernel.db import Database
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.leases import Claimer, Lease, Leases
from posthouse.notifications.lanes import Going
from posthouse.notifications.model import DOUBTS, Channel, NotificationEnded
from posthouse.notifications.preparing import Preparing, put_off
from posthouse.notifications.receiving import match_parked
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import notifications as notification_store
from posthouse.notifications.store import outgoing as store
from posthouse.notifications.store import targets as target_store
from posthouse.notifications.switchboard import Switchboard

log = logging.getLogger("posthouse.notifications")

_LOOK_S = 1.0
_AWAY_S = 0.5
_LATER_S = 1.0
_TEND_S = 0.25
_END_S = 0.2
_DRAIN_S = 15.0
_BATCH = 400
_SLOW_ROUNDS = 8


@dataclass(slots=True)
class Sender:
    """The messages that this worker sends."""

    db: Database
    leases: Leases
    board: Switchboard
    preparing: Preparing
    settings: NotificationsSettings
    is_stopping: bool = False
    _woken: dict[Channel, asyncio.Event] = field(init=False)
    _touched: set[UUID] = field(default_factory=set[UUID])
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._woken = {channel: asyncio.Event() for channel in Channel}

    @property
    def handed_over(self) -> int:
        """How many messages providers were handed by this worker."""
        return self.board.handed_over

    def wake(self) -> None:
        """There may be something to claim, or room for it."""
        for event in self._woken.values():
            event.set()

    def want(self, channel: Channel) -> None:
        """A lane will soon have nothing to do."""
        self._woken[channel].set()

    def free(self) -> None:
        """A call has ended."""
        self._freed.set()

    def touch(self, notifications: Sequence[UUID]) -> None:
        """A message of these has ended; it may have been the last."""
        self._touched.update(notifications)

    async def run(self) -> None:
        """Claim and send until cancelled."""
        async with asyncio.TaskGroup() as group:
            self.board.group = group
            for channel in Channel:
                group.create_task(self._pull(channel))
            group.create_task(self._return())

    async def _pull(self, channel: Channel) -> None:
        claimer = Claimer(self.leases, {channel: None})
        woken = self._woken[channel]
        while True:
            woken.clear()
            claimed = await self._claim(claimer, channel)
            if claimed:
                await self._deal(claimed)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await woken.wait()

    async def _claim(self, claimer: Claimer, channel: Channel) -> list[Lease]:
        room = self.settings.buffered - self.board.held(channel)
        if room < min(_BATCH, self.settings.buffered) // 4 or self.is_stopping:
            return []
        try:
            await self.board.refresh(self.board.known)
            skip = self.board.unavailable(channel)
            return await claimer.claim(self.db, min(room, _BATCH), skip)
        except PosthouseError:
            await asyncio.sleep(_AWAY_S)  # what is under way goes on while Postgres is away
            return []

    async def _deal(self, claimed: list[Lease]) -> None:
        try:
            settled: list[store.Settled] = []
            async for prepared in self.preparing.prepare(claimed):
                settled += prepared.settled
                for channel, going in prepared.going:
                    lane = self.board.choose(going, channel)
                    if lane is None:
                        settled.append(self._later(going, "providers-down"))
                    else:
                        lane.put(going)
            await self._settle(settled)
        except PosthouseError as error:
            # They stay claimed until their leases are over; nothing of them went out.
            log.warning("not dealt", extra={"reason": error.code, "count": len(claimed)})
            await asyncio.sleep(_AWAY_S)

    def _later(self, going: Going, reason: str) -> store.Settled:
        return store.Settled(going.lease.id, going.lease.token, "held", reason, delay_s=_LATER_S)

    async def _settle(self, settled: Sequence[store.Settled]) -> None:
        if not settled:
            return
        async with self.db.begin() as tx:
            changed = await store.settle(tx, settled)
        # Not before the commit: `end` would look, see it open, and forget it.
        self.touch(changed)

    async def _return(self) -> None:
        """Look again at what lanes gave back: something has changed since it was decided on."""
        while True:
            await asyncio.sleep(_END_S)
            back = self.board.take_back()
            for going in back:
                self.preparing.forget(going.lease.row["notification_id"])
            with suppress(PosthouseError):
                await self._settle([_again(going) for going in back])
            if back:
                self.wake()

    async def listen(self) -> None:
        """Hear at once of messages that are ready; `run` looks by itself too."""
        async with self.leases.listen(self.db, self.wake) as connection:
            while True:
                await asyncio.sleep(_LOOK_S)
                await connection.execute("SELECT 1")  # ends this loop when the line is dead

    async def keep(self) -> None:
        """Hold the leases of what is in lanes and not marked yet."""
        while True:
            await asyncio.sleep(self.leases.lease_s / 3)
            held = [lease for lane in self.board.all_lanes() for lease in lane.leases()]
            if held:
                await self.leases.keep(self.db, held)

    async def tend(self) -> None:
        """Make ready what is due, expire what is late, put in doubt and settle doubts."""
        rounds = 0
        while True:
            rounds += 1
            changed: list[UUID] = []
            async with self.db.begin() as tx:
                tended = await self.leases.tend(tx)
                if tended.dead:
                    changed += await store.of_dead(tx, tended.dead)
                if rounds % _SLOW_ROUNDS == 0:
                    changed += await store.expire(tx)
                    await match_parked(tx)
                doubted = await store.doubt(tx, self.settings.doubt_s)
                policies = {str(channel): str(doubt) for channel, doubt in DOUBTS.items()}
                resolved = await store.resolve(tx, policies, self.settings.max_attempts)
                if any(row["state"] == "queued" for row in resolved):
                    await self.leases.tell(tx)
            # Not before the commit: `end` would look, see it open, and forget it.
            self.touch([*changed, *(row["notification_id"] for row in resolved)])
            if doubted:
                log.warning("messages in doubt", extra={"count": doubted})
            await asyncio.sleep(_TEND_S)

    async def end(self) -> None:
        """Write the status of notifications whose last message has ended."""
        while True:
            await asyncio.sleep(_END_S)
            touched, self._touched = self._touched, set()
            if not touched:
                continue
            try:
                await self.end_now(list(touched))
            except PosthouseError:
                self._touched |= touched

    async def end_now(self, ids: Sequence[UUID]) -> None:
        """End those of these notifications that have nothing open, and tell of it."""
        async with self.db.begin() as tx:
            ended = await notification_store.end(tx, ids)
            if ended:
                told = [NotificationEnded(owner, one, status) for one, owner, status in ended]
                await events.announce(tx, *told)

    async def end_left(self) -> None:
        """End what a worker did not get round to before it died."""
        async with self.db.read() as connection:
            left = await notification_store.left_open(connection)
        if left:
            await self.end_now(left)

    async def forget(self) -> None:
        """Delete what ended long ago, and counts of days that are over."""
        async with self.db.begin() as tx:
            await target_store.forget_usage(tx)
        while True:
            async with self.db.begin() as tx:
                if await notification_store.forget(tx, self.settings.keep_days) == 0:
                    return

    async def drain(self) -> None:
        """Claim no more; let calls end, and let others have what waits."""
        self.is_stopping = True
        self.board.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while any(lane.busy for lane in self.board.all_lanes()):
                    self._freed.clear()
                    await self._freed.wait()
        back = self.board.take_back()
        if back:
            await self.leases.give_back(self.db, [going.lease for going in back])


def _again(going: Going) -> store.Settled:
    if going.problem is not None:
        return put_off(going.lease, going.problem)
    return store.Settled(going.lease.id, going.lease.token, "queued")
