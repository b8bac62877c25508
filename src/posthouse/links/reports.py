"""What clicks add up to: answers come from the rollups, so they cost the same at any traffic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.links.errors import LinkNotFoundError, StatsRangeError
from posthouse.links.model import (
    ClickClass,
    Dimension,
    Facet,
    Interval,
    LinkId,
    Question,
    Report,
)
from posthouse.links.store import links as link_store
from posthouse.links.store import stats as store
from posthouse.links.store.stats import Span
from posthouse.links.tally import SLOT_S

DEFAULT_DAYS = 30
MAX_RAW_DAYS = 90
_MAX_POINTS = 5_000
_TOP = 100
_CLICKS = tuple(kind for kind in ClickClass if kind is not ClickClass.HEAD)


@dataclass(frozen=True, slots=True)
class Reports:
    """Statistics of links."""

    db: Database
    clock: Clock

    async def report(self, principal: Principal, link_id: LinkId, question: Question) -> Report:
        """Answer a question about one link.

        Raises:
            LinkNotFoundError: there is no such link.
            StatsRangeError: the range is empty or too long, or the zone does not exist.
        """
        start, end = self._range(question)
        kinds = _CLICKS if question.kind is None else (question.kind,)
        span = Span(principal.workspace_id, link_id, start, end)
        async with self.db.begin() as tx:
            if await link_store.find(tx, principal.workspace_id, link_id) is None:
                raise LinkNotFoundError
            totals = await store.totals(tx, span)
            series = await store.series(
                tx, span, interval=question.interval, zone=question.zone, classes=kinds
            )
            last = end - timedelta(microseconds=1)
            unique = await store.unique(tx, span, start.date(), last.date())
            groups = await self._groups(tx, span, question.by, kinds, totals)
        return Report(
            start=start,
            end=end,
            clicks=sum(totals.get(kind, 0) for kind in kinds),
            unique=unique,
            classes={kind: totals.get(kind, 0) for kind in ClickClass},
            series=series,
            groups=groups,
        )

    def _range(self, question: Question) -> tuple[datetime, datetime]:
        """The range in whole quarter hours, checked.

        Raises:
            StatsRangeError: it is empty or too long, or the zone does not exist.
        """
        try:
            ZoneInfo(question.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise StatsRangeError.of("tz", "no IANA zone, such as Europe/Vienna") from error
        end = _whole_slots(question.end or self.clock.now(), up=True)
        start = _whole_slots(question.start or end - timedelta(days=DEFAULT_DAYS), up=False)
        if start >= end:
            raise StatsRangeError.of("from", "must be before `to`")
        step_s = 3600 if question.interval is Interval.HOUR else 86_400
        if (end - start).total_seconds() / step_s > _MAX_POINTS:
            raise StatsRangeError.of(
                "from", f"more than {_MAX_POINTS} steps; ask for a shorter range"
            )
        if len(question.by) > 1 and end - start > timedelta(days=MAX_RAW_DAYS + 1):
            raise StatsRangeError.of(
                "from", f"two facets at once cover at most {MAX_RAW_DAYS} days"
            )
        return start, end

    async def _groups(
        self,
        tx: store.Tx,
        span: Span,
        by: Sequence[Facet],
        kinds: Sequence[ClickClass],
        totals: Mapping[int, int],
    ) -> list[tuple[tuple[str, ...], int]]:
        if not by:
            return []
        if tuple(by) == (Facet.CLASS,):
            return [((kind.name.lower(),), totals.get(kind, 0)) for kind in kinds]
        dimensions = [Dimension[facet.name] for facet in by]
        if len(dimensions) == 1:
            top = await store.top(tx, span, dimensions[0], classes=kinds, limit=_TOP)
            return [((value,), clicks) for value, clicks in top]
        pair = (dimensions[0], dimensions[1])
        crossed = await store.crossed(tx, span, pair, classes=kinds, limit=_TOP)
        return [((first, second), clicks) for first, second, clicks in crossed]


def parse_facets(text: str | None) -> list[Facet]:
    """Read `country` or `country,device`.

    Raises:
        StatsRangeError: a name is not a facet, there are more than two, or `class` is crossed.
    """
    if not text:
        return []
    try:
        facets = [Facet(name.strip()) for name in text.split(",")]
    except ValueError as error:
        known = ", ".join(Facet)
        raise StatsRangeError.of("by", f"one or two of {known}") from error
    if len(facets) > 2 or len(set(facets)) < len(facets):  # noqa: PLR2004  one or two
        raise StatsRangeError.of("by", "at most two different facets")
    if len(facets) > 1 and Facet.CLASS in facets:
        raise StatsRangeError.of("by", "use the `class` filter to combine it with another facet")
    return facets


def _whole_slots(moment: datetime, *, up: bool) -> datetime:
    seconds = moment.astimezone(UTC).timestamp()
    whole = -(-seconds // SLOT_S) if up else seconds // SLOT_S
    return datetime.fromtimestamp(whole * SLOT_S, UTC)
