"""Local times and quiet hours, at both edges of summer time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.timing import instant_of, quiet_until, zone_of

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-03-29T01:59", "2026-03-29T00:59Z"),
        ("2026-03-29T02:30", "2026-03-29T01:30Z"),  # does not exist: 03:30 of summer time
        ("2026-03-29T03:00", "2026-03-29T01:00Z"),
        ("2026-10-25T01:30", "2026-10-24T23:30Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30Z"),  # exists twice: the first
        ("2026-10-25T03:00", "2026-10-25T02:00Z"),
    ],
)
def test_a_local_time_at_the_edges_of_summer_time(local: str, instant: str) -> None:
    found = instant_of(datetime.fromisoformat(local), BERLIN)
    assert found == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-06-01T19:59Z", None),
        ("2026-06-01T20:00Z", "2026-06-02T05:00Z"),
        ("2026-06-02T04:59Z", "2026-06-02T05:00Z"),
        ("2026-06-02T05:00Z", None),
        ("2026-03-28T21:00Z", "2026-03-29T05:00Z"),  # the night is an hour shorter
        ("2026-10-24T20:00Z", "2026-10-25T06:00Z"),  # and an hour longer
    ],
)
def test_quiet_hours_over_midnight(now: str, until: str | None) -> None:
    found = quiet_until(datetime.fromisoformat(now), time(22), time(7), BERLIN)
    assert found == (None if until is None else datetime.fromisoformat(until))


def test_quiet_hours_that_end_in_the_hour_that_comes_twice() -> None:
    second = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 02:15 for the second time
    found = quiet_until(second, time(22), time(2, 30), BERLIN)
    assert found == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_quiet_hours_that_end_in_the_hour_that_is_left_out() -> None:
    now = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    found = quiet_until(now, time(22), time(2, 30), BERLIN)
    assert found == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_hours_without_length_are_never_quiet() -> None:
    assert quiet_until(datetime(2026, 1, 1, tzinfo=UTC), time(0), time(0), None) is None


@pytest.mark.parametrize("name", ["", None, "Nowhere/Land", "../etc/passwd", "x" * 300])
def test_a_zone_that_is_none_is_utc(name: str | None) -> None:
    assert zone_of(name) == ZoneInfo("UTC")


@given(
    now=st.integers(946_684_800, 2_114_380_800).map(lambda s: datetime.fromtimestamp(s, UTC)),
    starts=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    ends=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_end_of_quiet_hours_lies_ahead_and_within_a_day(
    now: datetime, starts: time, ends: time, zone: str
) -> None:
    until = quiet_until(now, starts, ends, zone)
    if until is None:
        return
    assert now < until <= now + timedelta(hours=25)
    # At the end it is not quiet any more, unless that moment does not exist on the clock.
    local = until.astimezone(ZoneInfo(zone)).time()
    if local == ends:
        assert quiet_until(until, starts, ends, zone) is None
