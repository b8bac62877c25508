"""When a message may go out: a recipient's own clock, and the hours that are quiet there.

Both edges of summer time: a local time that does not exist (the clock jumps over it) is the moment
of the jump as the offset before it says, so 02:30 becomes 03:30; one that exists twice is the
first. Source: PEP 495, `fold=0`.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone_of(name: str | None) -> ZoneInfo:
    """The zone of that name in the IANA database; UTC without one, or for one that is gone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def instant_of(local: datetime, timezone: str | None) -> datetime:
    """The moment in UTC at which clocks in a zone show `local`, which has no zone of its own."""
    return local.replace(tzinfo=zone_of(timezone), fold=0).astimezone(UTC)


def quiet_until(now: datetime, starts: time, ends: time, timezone: str | None) -> datetime | None:
    """When the quiet hours end that `now` lies in, or None if it lies in none.

    Hours may go over midnight (22:00 to 07:00). With both ends the same it is never quiet.
    """
    zone = zone_of(timezone)
    local = now.astimezone(zone)
    clock = local.time().replace(tzinfo=None)
    if starts <= ends:
        is_quiet, last_day = starts <= clock < ends, local.date()
    else:
        is_quiet = clock >= starts or clock < ends
        last_day = local.date() + timedelta(days=1 if clock >= starts else 0)
    if not is_quiet:
        return None
    until = datetime.combine(last_day, ends).replace(tzinfo=zone)
    # The hour that the clock shows twice: the first end may be over already.
    ends_at = (until.astimezone(UTC), until.replace(fold=1).astimezone(UTC))
    return ends_at[0] if ends_at[0] > now else ends_at[1]
