"""The lanes of a worker: which providers each workspace has, and which of them takes a message."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.ratelimit import Limiter
from posthouse.notifications.attaching import Attaching
from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.deciding import Route
from posthouse.notifications.lanes import Going, Lane, Ledger, ignore
from posthouse.notifications.model import PROVIDER, Channel, Line
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import lines as store

log = logging.getLogger("posthouse.notifications")

_FRESH_S = 1.0

Opening = Callable[[UUID, UUID], Awaitable[Provider]]
"""Opens a provider, by its workspace and its id."""


def serves(kind: str, address: str) -> bool:
    """Whether a kind of provider can reach an address: push has two kinds of devices."""
    if kind == "webpush":
        return address.startswith("{")
    return kind != "fcm" or not address.startswith("{")


@dataclass(slots=True)
class Switchboard:
    """Keeps a lane for each provider that there is something for."""

    db: Database
    clock: Clock
    limiter: Limiter
    settings: NotificationsSettings
    ledger: Ledger
    attaching: Attaching
    open: Opening
    freed: Callable[[], None] = field(default=ignore)
    wants: Callable[[Channel], None] = field(default=ignore)
    group: asyncio.TaskGroup | None = None
    ended: int = 0
    _lanes: dict[UUID, Lane] = field(default_factory=dict[UUID, Lane])
    _lines: dict[UUID, list[Line]] = field(default_factory=dict[UUID, list[Line]])
    _read_at: dict[UUID, float] = field(default_factory=dict[UUID, float])
    _closing: list[Lane] = field(default_factory=list[Lane])
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self, workspaces: Iterable[UUID]) -> None:
        """Read the providers of workspaces again, unless they have been read just now."""
        # All channels share the board: none may choose while another has opened but some lanes.
        async with self._reading:
            await self._refresh(workspaces)

    async def _refresh(self, workspaces: Iterable[UUID]) -> None:
        now = self.clock.monotonic()
        stale = [one for one in set(workspaces) if now - self._read_at.get(one, -99) > _FRESH_S]
        if not stale:
            return
        async with self.db.read() as connection:
            found = await store.lines(connection, stale)
        for workspace_id in stale:
            lines = [line for line in found if line.workspace_id == workspace_id]
            self._lines[workspace_id] = lines
            self._read_at[workspace_id] = now
            await self._renew(workspace_id, lines)

    async def _renew(self, workspace_id: UUID, lines: list[Line]) -> None:
        """Close the lanes of providers that are gone or changed; open those of new ones."""
        known = {line.id: line for line in lines}
        for lane in [one for one in self._lanes.values() if one.line.workspace_id == workspace_id]:
            line = known.get(lane.line.id)
            if line is None or line.version != lane.line.version:
                del self._lanes[lane.line.id]
                lane.close()
                self._closing.append(lane)
                continue
            if lane.line.is_paused and not line.is_paused:
                lane.is_refused = False
            lane.line = line
        for line in lines:
            if line.id not in self._lanes and not line.is_paused:
                await self._open(line)

    async def _open(self, line: Line) -> None:
        try:
            provider = await self.open(line.workspace_id, line.id)
        except PosthouseError as error:
            told = {"provider": PROVIDER.show(line.id), "reason": error.code}
            log.warning("provider cannot be opened", extra=told)
            return
        lane = Lane(
            line,
            provider,
            self.ledger,
            self.attaching,
            self.limiter,
            self.clock,
            self.settings,
            self.freed,
            self.wants,
            lambda: self._has_other(line),
        )
        self._lanes[line.id] = lane
        assert self.group is not None  # noqa: S101  set by the one who runs us
        self.group.create_task(lane.run())

    def _has_other(self, line: Line) -> bool:
        lanes = self.lanes(line.workspace_id, line.channel)
        return any(lane.line.id != line.id and not lane.trouble() for lane in lanes)

    def lanes(self, workspace_id: UUID, channel: Channel) -> list[Lane]:
        """The open lanes of a channel, the best first."""
        return [
            self._lanes[line.id]
            for line in self._lines.get(workspace_id, [])
            if line.channel == channel and line.id in self._lanes
        ]

    def routes(self, workspace_id: UUID, channel: Channel, address: str | None) -> list[Route]:
        """The providers that could take a message, and what is wrong with each, for the rules."""
        found: list[Route] = []
        for line in self._lines.get(workspace_id, []):
            if line.channel != channel or not (address is None or serves(line.kind, address)):
                continue
            lane = self._lanes.get(line.id)
            found.append(Route(line.name, "it is not open" if lane is None else lane.trouble()))
        return found

    def choose(self, going: Going, channel: Channel) -> Lane | None:
        """The lane for a message: not the one that refused it last, if there is another."""
        address, row = going.outgoing.address, going.lease.row
        lanes = [
            lane
            for lane in self.lanes(going.lease.workspace_id, channel)
            if serves(lane.line.kind, address) and not lane.trouble()
        ]
        others = [lane for lane in lanes if lane.line.id != row["provider_id"]]
        if going.lease.attempt > 1 and others:
            return others[0]
        return lanes[0] if lanes else None

    def unavailable(self, channel: Channel) -> list[UUID]:
        """The workspaces whose messages need not be claimed now: no lane has room for them."""
        return [
            workspace_id
            for workspace_id in self._lines
            if all(lane.is_full or lane.trouble() for lane in self.lanes(workspace_id, channel))
            and any(line.channel == channel for line in self._lines[workspace_id])
        ]

    @property
    def known(self) -> list[UUID]:
        """The workspaces that it has read."""
        return list(self._lines)

    def wait_s(self, workspace_id: UUID, channel: Channel) -> float:
        """How long the trouble of all providers of a channel lasts at least."""
        waits = [lane.wait_s() for lane in self.lanes(workspace_id, channel)]
        return min(waits, default=0.0)

    def all_lanes(self) -> Iterator[Lane]:
        """Every lane, also those that are closing."""
        yield from self._lanes.values()
        yield from self._closing

    def take_back(self) -> list[Going]:
        """The messages that lanes gave back; those of lanes that have ended are forgotten."""
        back: list[Going] = []
        for lane in self.all_lanes():
            back += lane.returned
            lane.returned.clear()
        self.ended += sum(lane.handed_over for lane in self._closing if not lane.held)
        self._closing = [lane for lane in self._closing if lane.held]
        return back

    @property
    def handed_over(self) -> int:
        """How many messages providers were handed."""
        return self.ended + sum(lane.handed_over for lane in self.all_lanes())

    def held(self, channel: Channel) -> int:
        """How many messages of a channel are in lanes."""
        return sum(lane.held for lane in self.all_lanes() if lane.line.channel == channel)

    def close(self) -> None:
        """Close all lanes."""
        for lane in self._lanes.values():
            lane.close()
        self._closing += self._lanes.values()
        self._lanes = {}
