"""The values of links: ids, choices, frozen records and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import ClassVar, NewType
from uuid import UUID

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.events import Event
from posthouse.kernel.ids import Prefix

LinkId = NewType("LinkId", UUID)
DomainId = NewType("DomainId", UUID)
LINK = Prefix("lnk")

READ = Scope("links:read", Role.VIEWER)
WRITE = Scope("links:write", Role.MEMBER)


class LinkState(StrEnum):
    """Whether a link can be followed."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


class LinkSort(StrEnum):
    """The orders of the list; `-` is newest first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"


class ClickClass(IntEnum):
    """Who followed: kept apart, never hidden. HEAD requests are noted but are no clicks."""

    HUMAN = 0
    BOT = 1
    PREVIEW = 2
    PREFETCH = 3
    HEAD = 4


class Dimension(IntEnum):
    """What clicks are counted by; the numbers are stored."""

    TOTAL = 0
    REFERRER = 1
    COUNTRY = 2
    DEVICE = 3
    BROWSER = 4
    OS = 5
    CAMPAIGN = 6


@dataclass(frozen=True, slots=True)
class Preview:
    """What the page at `url` said of itself at `fetched_at`; None where it said nothing."""

    url: str
    title: str | None
    description: str | None
    image: str | None
    icon: str | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Domain:
    """A host whose root holds short codes; `workspace_id` None means all workspaces share it."""

    id: DomainId
    host: str
    workspace_id: UUID | None


@dataclass(frozen=True, slots=True)
class Link:
    """A short link.

    `url` is the normalised target; `utm` is added to it when followed. `used` counts only while
    there is `max_clicks`. `version` is for `If-Match`.
    """

    id: LinkId
    workspace_id: UUID
    domain_id: DomainId
    host: str
    code: str
    url: str
    title: str
    notes: str
    tags: tuple[str, ...]
    utm: Mapping[str, str]
    redirect_status: int
    forwards_query: bool
    forwards_path: bool
    valid_from: datetime | None
    valid_until: datetime | None
    max_clicks: int | None
    used: int
    has_password: bool
    state: LinkState
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewLink:
    """The columns of a link that its maker chooses."""

    url: str
    title: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    utm: Mapping[str, str] | None = None
    redirect_status: int = 302
    forwards_query: bool = False
    forwards_path: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    max_clicks: int | None = None


@dataclass(frozen=True, slots=True)
class PlainLink:
    """A link that is nothing but a code and a target."""

    id: LinkId
    workspace_id: UUID
    domain_id: DomainId
    code: str
    url: str
    created_by: str


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows: `pattern` is an escaped LIKE pattern over code, title and target."""

    pattern: str | None = None
    tags: tuple[str, ...] | None = None
    state: LinkState | None = None


class Interval(StrEnum):
    """The step of a series."""

    HOUR = "hour"
    DAY = "day"


class Facet(StrEnum):
    """What clicks can be told apart by."""

    REFERRER = "referrer"
    COUNTRY = "country"
    DEVICE = "device"
    BROWSER = "browser"
    OS = "os"
    CAMPAIGN = "campaign"
    CLASS = "class"


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know. `start` None is 30 days before `end`, `end` None is now."""

    start: datetime | None = None
    end: datetime | None = None
    zone: str = "UTC"
    interval: Interval = Interval.DAY
    by: Sequence[Facet] = ()
    kind: ClickClass | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. `unique` sums the unique visitors of each UTC day that the range touches."""

    start: datetime
    end: datetime
    clicks: int
    unique: int
    classes: Mapping[ClickClass, int]
    series: Sequence[tuple[datetime, int]]
    groups: Sequence[tuple[tuple[str, ...], int]]


@dataclass(frozen=True, slots=True)
class LinkChanged(Event):
    """A link was made or changed in a way that those who follow it can see."""

    name: ClassVar[str] = "link.changed"

    link_id: UUID


@dataclass(frozen=True, slots=True)
class LinkMade(Event):
    """A link was made."""

    name: ClassVar[str] = "link.made"

    link_id: UUID
