"""When a schedule is due: cron expressions by the wall clock of a time zone.

The rules at the two edges of summer time are those of Debian's cron. A fixed time that the clock
skips (02:30 in spring) is due right after the gap, and one that it shows twice (02:30 in autumn)
is due once; expressions with a star in the minute or hour field follow elapsed time.
Source: cron(8) of Debian; the library CronSim.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from posthouse.tasks.errors import ScheduleInvalidError

_FIELDS = 5
_MAX_ZONE = 64


def next_after(expression: str, zone: str, moment: datetime) -> datetime:
    """The first moment after `moment` that the expression names, in UTC.

    Raises:
        ScheduleInvalidError: the expression or the zone is not one, or there is no such moment.
    """
    if len(expression.split()) != _FIELDS:
        raise ScheduleInvalidError("cron", "give five fields, such as 30 2 * * *")
    try:
        local = moment.astimezone(_zone(zone))
        found = next(CronSim(expression, local))
    except CronSimError as error:
        raise ScheduleInvalidError("cron", str(error).lower()) from error
    except (StopIteration, OverflowError) as error:
        raise ScheduleInvalidError("cron", "it names no day that comes") from error
    return found.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name[:_MAX_ZONE])
    except (KeyError, ValueError, OSError) as error:
        words = "give an IANA time zone, such as Europe/Berlin"
        raise ScheduleInvalidError("zone", words) from error
