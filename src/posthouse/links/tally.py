"""Turns click events into rows: raw clicks, rollups by quarter hour, visitors by day.

A rollup row counts one dimension in one UTC quarter hour; all time zones in use are offset by a
multiple of a quarter, so any local hour or day is a sum of whole slots.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from posthouse.links.agents import AgentBook, referrer_host
from posthouse.links.batches import ClickEvent
from posthouse.links.model import ClickClass, Dimension

SLOT_S = 900
# As plain numbers: an enum's member takes a microsecond to hash, and this loop hashes many.
_HUMAN, _PREFETCH, _HEAD = int(ClickClass.HUMAN), int(ClickClass.PREFETCH), int(ClickClass.HEAD)
_TOTAL, *_FACETS = (int(dimension) for dimension in Dimension)
_DAY_S = 86_400

# (at, workspace, link, event id, class, visitor, referrer, country, device, browser, os,
#  campaign, agent): the columns of `clicks` in their order.
ClickRow = tuple[datetime, UUID, UUID, int, int, int, str, str, str, str, str, str, str]
RollupKey = tuple[bytes, bytes, int, int, str, int]
VisitorKey = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """What one read of the stream adds to the tables.

    `rollups`: (link, workspace, dimension, slot start in s, value, class) to clicks.
    `visitors`: (link, workspace, UTC day number) to visitor hashes.
    """

    rows: Sequence[ClickRow]
    rollups: dict[RollupKey, int]
    visitors: dict[VisitorKey, set[int]]

    def days(self) -> set[date]:
        """The UTC days that rows fall on."""
        return {row[0].date() for row in self.rows}


def tally(events: Iterable[tuple[int, ClickEvent]], book: AgentBook) -> Tally:
    """Count events; each comes with the number that its raw row is known by."""
    rows: list[ClickRow] = []
    combined: Counter[tuple[bytes, bytes, int, int, str, str, str, str, str, str]] = Counter()
    visitors: defaultdict[VisitorKey, set[int]] = defaultdict(set)
    ids: dict[bytes, UUID] = {}
    hosts: dict[str, str] = {}
    for number, event in events:
        agent = book.read(event.agent)
        kind = _HEAD if event.is_head else agent.kind_number
        if event.is_prefetch and kind == _HUMAN:
            kind = _PREFETCH
        referrer = hosts.get(event.referrer)
        if referrer is None:
            referrer = hosts[event.referrer] = referrer_host(event.referrer)
        link, workspace = event.link_id, event.workspace_id
        at_s = event.at_ms // 1000
        slot = at_s - at_s % SLOT_S
        facts = (referrer, event.country, agent.device, agent.browser, agent.os, event.campaign)
        combined[(link, workspace, slot, kind, *facts)] += 1
        if kind != _HEAD:
            visitors[link, workspace, at_s // _DAY_S].add(event.visitor)
        for raw in (link, workspace):
            if raw not in ids:
                ids[raw] = UUID(bytes=raw)
        rows.append(
            (
                datetime.fromtimestamp(event.at_ms / 1000, UTC),
                ids[workspace],
                ids[link],
                number,
                kind,
                event.visitor,
                *facts,
                agent.shown,
            )
        )
    return Tally(rows, _roll_up(combined), dict(visitors))


def _roll_up(
    combined: Counter[tuple[bytes, bytes, int, int, str, str, str, str, str, str]],
) -> dict[RollupKey, int]:
    rollups: Counter[RollupKey] = Counter()
    for (link, workspace, slot, kind, *facts), count in combined.items():
        rollups[link, workspace, _TOTAL, slot, "", kind] += count
        for dimension, value in zip(_FACETS, facts, strict=True):
            rollups[link, workspace, dimension, slot, value, kind] += count
    return rollups
