"""Turns click events into rows: raw clicks, rollups by quarter hour, visitors by day.

A rollup row counts one dimension in one UTC quarter hour; all time zones in use are offset by a
multiple of a quarter, so any local hour or day is a sum of whole slots. An empty value has no row
of its own: it is what the total has beyond the others.

Raw clicks are written as the bytes of Postgres' binary COPY. Most of a row is the same for all who
come with one browser from one place, so it is packed once (`bench/clicks.py`).
Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from posthouse.links.agents import AgentBook, referrer_host
from posthouse.links.batches import ClickEvent
from posthouse.links.model import ClickClass, Dimension

SLOT_S = 900
# The columns of a raw row in the order of its bytes.
COLUMNS = (
    "at", "workspace_id", "link_id", "event_id", "visitor", "class", "referrer", "country",
    "device", "browser", "os", "campaign", "agent",
)  # fmt: skip
# As plain numbers: an enum's member takes a microsecond to hash, and this loop hashes many.
_HUMAN, _PREFETCH, _HEAD = int(ClickClass.HUMAN), int(ClickClass.PREFETCH), int(ClickClass.HEAD)
_TOTAL, *_FACETS = (int(dimension) for dimension in Dimension)
_DAY_MS = 86_400_000
_SLOT_MS = SLOT_S * 1000
_2000_MS = 946_684_800_000  # Postgres counts from 2000
# The number of columns; then each as its length and its bytes: time, two UUIDs, two numbers.
_VARYING = Struct(">h iq i16s i16s iq iq")
_CLASS = Struct(">ih")
_LENGTH = Struct(">i")

# Agent, referrer, country, campaign, whether HEAD, whether a prefetch.
_Look = tuple[str, str, str, str, bool, bool]
# Class, then the value of each facet.
_Facts = tuple[int, tuple[str, ...]]
RollupKey = tuple[bytes, bytes, int, int, str, int]
VisitorKey = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class _Profile:
    """What one kind of follow adds: its class and facts by their number, and the bytes of both."""

    kind: int
    facts_number: int
    packed: bytes


@dataclass(slots=True)
class Tally:
    """What some events add to the tables.

    `visitors`: (link, workspace, UTC day number) to visitor hashes.
    """

    book: AgentBook
    visitors: defaultdict[VisitorKey, set[int]] = field(
        default_factory=lambda: defaultdict[VisitorKey, set[int]](set), init=False
    )
    _combined: Counter[tuple[bytes, bytes, int, int]] = field(
        default_factory=Counter[tuple[bytes, bytes, int, int]], init=False
    )
    _profiles: dict[_Look, _Profile] = field(default_factory=dict[Any, _Profile], init=False)
    _facts: dict[_Facts, int] = field(default_factory=dict[Any, int], init=False)

    def add(self, batches: Iterable[tuple[int, Sequence[ClickEvent]]]) -> bytes:
        """Count events and give their raw rows; each batch comes with its first event's number."""
        rows: list[bytes] = []
        pack, profiles, combined = _VARYING.pack, self._profiles, self._combined
        for first, events in batches:
            for place, event in enumerate(events):
                look = (
                    event.agent, event.referrer, event.country, event.campaign,
                    event.is_head, event.is_prefetch,
                )  # fmt: skip
                profile = profiles.get(look)
                if profile is None:
                    profile = profiles[look] = self._learn(event)
                link, workspace, at_ms = event.link_id, event.workspace_id, event.at_ms
                slot = at_ms // _SLOT_MS * SLOT_S
                combined[link, workspace, slot, profile.facts_number] += 1
                if profile.kind != _HEAD:
                    self.visitors[link, workspace, at_ms // _DAY_MS].add(event.visitor)
                rows.append(
                    pack(
                        len(COLUMNS), 8, (at_ms - _2000_MS) * 1000, 16, workspace, 16, link,
                        8, first + place, 8, event.visitor,
                    )
                )  # fmt: skip
                rows.append(profile.packed)
        return b"".join(rows)

    def _learn(self, event: ClickEvent) -> _Profile:
        agent = self.book.read(event.agent)
        kind = _HEAD if event.is_head else agent.kind_number
        if event.is_prefetch and kind == _HUMAN:
            kind = _PREFETCH
        facts = (
            referrer_host(event.referrer),
            event.country,
            agent.device,
            agent.browser,
            agent.os,
            _storable(event.campaign),
        )
        texts = [text.encode() for text in (*facts, agent.shown)]
        packed = b"".join(_LENGTH.pack(len(text)) + text for text in texts)
        number = self._facts.setdefault((kind, facts), len(self._facts))
        return _Profile(kind, number, _CLASS.pack(2, kind) + packed)

    def rollups(self) -> dict[RollupKey, int]:
        """Give (link, workspace, dimension, slot start in s, value, class) to clicks."""
        found: Counter[RollupKey] = Counter()
        known = list(self._facts)
        for (link, workspace, slot, number), count in self._combined.items():
            kind, facts = known[number]
            found[link, workspace, _TOTAL, slot, "", kind] += count
            for dimension, value in zip(_FACETS, facts, strict=True):
                if value:
                    found[link, workspace, dimension, slot, value, kind] += count
        return found


def _storable(text: str) -> str:
    """A text without NUL, which Postgres cannot keep."""
    return text.replace("\x00", "")
