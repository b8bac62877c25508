"""The statements behind the statistics: rollups, and raw clicks for two dimensions at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from posthouse.kernel.db import Tx
from posthouse.links.model import Dimension

_TOTALS = """
SELECT class, sum(clicks)::bigint AS clicks FROM click_rollups
WHERE workspace_id = $1 AND link_id = $2 AND dimension = 0 AND slot >= $3 AND slot < $4
GROUP BY class
"""
_SERIES = """
WITH counted AS (
  SELECT date_trunc($5, slot, $6) AS at, sum(clicks)::bigint AS clicks FROM click_rollups
  WHERE workspace_id = $1 AND link_id = $2 AND dimension = 0 AND slot >= $3 AND slot < $4
    AND class = ANY($7)
  GROUP BY 1
)
SELECT at, coalesce(clicks, 0) AS clicks
FROM generate_series(
  date_trunc($5, $3, $6), $4 - interval '1 microsecond', ('1 ' || $5)::interval, $6
) AS at
LEFT JOIN counted USING (at) ORDER BY at
"""
_TOP = """
WITH counted AS (
  SELECT dimension, value, sum(clicks)::bigint AS clicks FROM click_rollups
  WHERE workspace_id = $1 AND link_id = $2 AND dimension = ANY(ARRAY[0, $5::smallint])
    AND slot >= $3 AND slot < $4 AND class = ANY($6)
  GROUP BY dimension, value
)
SELECT value, clicks FROM (
  SELECT value, clicks FROM counted WHERE dimension = $5
  UNION ALL
  -- What the total has beyond the named values came without one.
  SELECT '', sum(CASE dimension WHEN 0 THEN clicks ELSE -clicks END)::bigint FROM counted
) AS found
WHERE clicks > 0 ORDER BY clicks DESC, value LIMIT $7
"""
_UNIQUE = """
SELECT coalesce(sum(estimate), 0)::bigint FROM click_uniques
WHERE workspace_id = $1 AND link_id = $2 AND day >= $3 AND day <= $4
"""
_CROSSED = """
SELECT {first} AS first, {second} AS second, count(*) AS clicks FROM clicks
WHERE workspace_id = $1 AND link_id = $2 AND at >= $3 AND at < $4 AND class = ANY($5)
GROUP BY 1, 2 ORDER BY clicks DESC, 1, 2 LIMIT $6
"""
# Every pair is a statement of its own, so that each can be prepared and checked.
CROSSED = {
    (first, second): _CROSSED.format(first=first.name.lower(), second=second.name.lower())
    for first in Dimension
    for second in Dimension
    if first is not Dimension.TOTAL and second is not Dimension.TOTAL and first is not second
}


@dataclass(frozen=True, slots=True)
class Span:
    """Whose clicks, of which link, from when until when (exclusive)."""

    workspace_id: UUID
    link_id: UUID
    start: datetime
    end: datetime


def _of(span: Span) -> tuple[UUID, UUID, datetime, datetime]:
    return span.workspace_id, span.link_id, span.start, span.end


async def totals(tx: Tx, span: Span) -> dict[int, int]:
    """Clicks by class."""
    return {row["class"]: row["clicks"] for row in await tx.fetch(_TOTALS, *_of(span))}


async def series(
    tx: Tx, span: Span, *, interval: str, zone: str, classes: Sequence[int]
) -> list[tuple[datetime, int]]:
    """Clicks by local hour or day, the empty ones too: [(start, clicks)], oldest first."""
    rows = await tx.fetch(_SERIES, *_of(span), interval, zone, classes)
    return [(row["at"], row["clicks"]) for row in rows]


async def top(
    tx: Tx, span: Span, dimension: Dimension, *, classes: Sequence[int], limit: int
) -> list[tuple[str, int]]:
    """The values of one dimension with the most clicks: [(value, clicks)]."""
    rows = await tx.fetch(_TOP, *_of(span), int(dimension), classes, limit)
    return [(row["value"], row["clicks"]) for row in rows]


async def crossed(
    tx: Tx, span: Span, pair: tuple[Dimension, Dimension], *, classes: Sequence[int], limit: int
) -> list[tuple[str, str, int]]:
    """Two dimensions at once, from raw clicks: [(first, second, clicks)]."""
    rows = await tx.fetch(CROSSED[pair], *_of(span), classes, limit)
    return [(row["first"], row["second"], row["clicks"]) for row in rows]


async def unique(tx: Tx, span: Span, first_day: date, last_day: date) -> int:
    """The sum of daily unique visitors."""
    found: int = await tx.fetchval(_UNIQUE, span.workspace_id, span.link_id, first_day, last_day)
    return found
