"""What the API of links takes and gives."""

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from posthouse.kernel.moments import Moment
from posthouse.kernel.patches import require_some
from posthouse.kernel.text import Count, Flag, Line, Str, Tags
from posthouse.links.codes import SLUG_PATTERN
from posthouse.links.model import LINK, Facet, Interval, Link, LinkState, Preview, Question, Report

Url = Annotated[Str, Field(min_length=1, max_length=16_384, examples=["https://example.com/page"])]
Password = Annotated[Str, Field(min_length=4, max_length=128)]
Status = Literal[301, 302, 307, 308]
MaxClicks = Annotated[Count, Field(ge=1)]


class Utm(BaseModel):
    """The UTM fields that are added to the target's query."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[Line, Field(max_length=100)] | None = None
    medium: Annotated[Line, Field(max_length=100)] | None = None
    campaign: Annotated[Line, Field(max_length=100)] | None = None
    term: Annotated[Line, Field(max_length=100)] | None = None
    content: Annotated[Line, Field(max_length=100)] | None = None

    def given(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: value for name, value in self.model_dump().items() if value}


class ShortenIn(BaseModel):
    """The quick way: only a target."""

    model_config = ConfigDict(extra="forbid")

    url: Url


class LinkIn(BaseModel):
    """A new link; only `url` is needed."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    code: Annotated[str, Field(pattern=SLUG_PATTERN)] | None = Field(
        default=None, description="Your own slug; without it seven random characters."
    )
    domain: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="The host of the short link; without it the installation's own."
    )
    title: Annotated[Line, Field(max_length=200)] = ""
    notes: Annotated[Str, Field(max_length=5000)] = ""
    tags: Tags = []
    utm: Utm = Utm()
    redirect_status: Status = Field(
        default=302, description="301 and 308 may be kept by browsers 30 s."
    )
    forwards_query: Flag = Field(default=False, description="Pass the follower's query on.")
    forwards_path: Flag = Field(default=False, description="Pass what follows the code on.")
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    max_clicks: MaxClicks | None = Field(
        default=None, description="The link ends after so many clicks."
    )
    password: Password | None = None

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        _require_order(self.valid_from, self.valid_until)
        return self


class LinkPatch(BaseModel):
    """Changes to a link: what is absent stays, null clears what can be cleared."""

    model_config = ConfigDict(extra="forbid")

    url: Url = ""
    title: Annotated[Line, Field(max_length=200)] = ""
    notes: Annotated[Str, Field(max_length=5000)] = ""
    tags: Tags = []
    utm: Utm = Utm()
    redirect_status: Status = 302
    forwards_query: Flag = False
    forwards_path: Flag = False
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    max_clicks: MaxClicks | None = None
    password: Password | None = None

    _something = model_validator(mode="after")(require_some)

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        _require_order(self.valid_from, self.valid_until)
        return self


def _require_order(start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None and start >= end:
        raise PydanticCustomError("not-in-order", "valid_from must be before valid_until")


class ShortLink(BaseModel):
    """A link that was just made."""

    id: str = Field(pattern=LINK.pattern)
    code: str
    short_url: str
    url: str


class LinkOut(ShortLink):
    """A link, whole."""

    domain: str
    title: str
    notes: str
    tags: list[str]
    utm: Utm
    redirect_status: int
    forwards_query: bool
    forwards_path: bool
    valid_from: datetime | None
    valid_until: datetime | None
    max_clicks: int | None
    clicks_used: int | None = Field(description="Clicks spent of `max_clicks`.")
    has_password: bool
    state: LinkState
    version: int
    created_at: datetime
    updated_at: datetime


class ClickKind(StrEnum):
    """The classes of clicks by name."""

    HUMAN = "human"
    BOT = "bot"
    PREVIEW = "preview"
    PREFETCH = "prefetch"
    HEAD = "head"


class Point(BaseModel):
    """One step of a series."""

    at: datetime = Field(description="When the local hour or day begins.")
    clicks: int


class Group(BaseModel):
    """The clicks of one value, or of one pair of values, in the order of `by`."""

    values: list[str]
    clicks: int


class StatsOut(BaseModel):
    """The statistics of one link."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    id: str
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    tz: str
    interval: Interval
    clicks: int = Field(description="GET requests that were led on; robots are counted too.")
    unique: int = Field(description="Sum of the unique visitors of each UTC day.")
    classes: dict[str, int] = Field(description="Who they were; `head` is not part of `clicks`.")
    series: list[Point]
    by: list[Facet]
    groups: list[Group] = Field(description="The 100 largest, largest first.")


class PreviewOut(BaseModel):
    """What a page says of itself: plain text, which is yours to escape."""

    url: str = Field(description="Where the page was found, after all redirects.")
    title: str | None
    description: str | None
    image: str | None = Field(description="An http or https address; it was not fetched.")
    icon: str | None = Field(description="The same, of the page's icon.")
    fetched_at: datetime = Field(description="When it was asked; answers are kept for a while.")


def show_preview(preview: Preview) -> PreviewOut:
    """Say a preview as the API does."""
    return PreviewOut(**asdict(preview))


def show_report(link_id: str, question: Question, report: Report) -> StatsOut:
    """Say statistics as the API does."""
    return StatsOut(
        id=link_id,
        **{"from": report.start, "to": report.end},
        tz=question.zone,
        interval=question.interval,
        clicks=report.clicks,
        unique=report.unique,
        classes={kind.name.lower(): count for kind, count in report.classes.items()},
        series=[Point(at=at, clicks=clicks) for at, clicks in report.series],
        by=list(question.by),
        groups=[Group(values=list(values), clicks=clicks) for values, clicks in report.groups],
    )


def show(link: Link, short_url: str) -> LinkOut:
    """Say a link as the API does."""
    return LinkOut(
        id=LINK.show(link.id),
        code=link.code,
        short_url=short_url,
        url=link.url,
        domain=link.host,
        title=link.title,
        notes=link.notes,
        tags=list(link.tags),
        utm=Utm(**link.utm),
        redirect_status=link.redirect_status,
        forwards_query=link.forwards_query,
        forwards_path=link.forwards_path,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        max_clicks=link.max_clicks,
        clicks_used=link.used if link.max_clicks is not None else None,
        has_password=link.has_password,
        state=link.state,
        version=link.version,
        created_at=link.created_at,
        updated_at=link.updated_at,
    )
