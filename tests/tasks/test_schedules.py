"""A schedule makes a task whenever its clock says so, once, and makes up for what was missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.runtime import Runtime
from posthouse.tasks import cron
from posthouse.tasks.errors import ScheduleInvalidError
from posthouse.tasks.schedules import Schedules
from tests.tasks.asking import until

BERLIN = "Europe/Berlin"


def times(expression: str, start: datetime, count: int) -> list[str]:
    found: list[str] = []
    for _ in range(count):
        start = cron.next_after(expression, BERLIN, start)
        found.append(start.strftime("%m-%d %H:%M"))
    return found


SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)  # the clock goes from 02:00 to 03:00 on the 29th
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)  # and from 03:00 back to 02:00 on the 25th


def test_a_time_that_the_clock_skips_is_due_after_the_gap() -> None:
    assert times("30 2 * * *", SPRING, 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_the_clock_shows_twice_is_due_once() -> None:
    assert times("30 2 * * *", AUTUMN, 2) == ["10-25 00:30", "10-26 01:30"]


def test_each_hour_means_each_hour_on_both_days() -> None:
    assert times("0 * * * *", SPRING.replace(hour=23), 3) == [
        "03-29 00:00", "03-29 01:00", "03-29 02:00",
    ]  # fmt: skip
    assert times("0 * * * *", AUTUMN.replace(hour=23), 3) == [
        "10-25 00:00", "10-25 01:00", "10-25 02:00",
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    day=st.integers(0, 2200),
    minutes=st.integers(0, 1439),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Tokyo"]),
)
def test_a_daily_time_comes_once_on_each_local_day(
    minute: int, hour: int, day: int, minutes: int, zone: str
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=minutes)
    first = cron.next_after(f"{minute} {hour} * * *", zone, start)
    second = cron.next_after(f"{minute} {hour} * * *", zone, first)
    assert first > start
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in (first, second)]
    assert days[1] - days[0] == timedelta(days=1)


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "61 * * * *", "a b c d e", "0 0 31 2 *", "*/0 * * * *"],
)
def test_an_expression_that_names_no_time_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleInvalidError):
        cron.next_after(expression, "UTC", SPRING)


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../../etc/passwd", "x" * 999, "a\x00b"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleInvalidError):
        cron.next_after("0 0 * * *", zone, SPRING)


NIGHTLY = {
    "name": "nightly", "kind": "probe.count", "input": {"to": 1}, "cron": "30 2 * * *",
    "zone": BERLIN,
}  # fmt: skip


async def make(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/tasks/schedules", json=NIGHTLY | changes)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"].endswith(answer.json()["id"])
    return answer.json()


async def miss(probed: Runtime, by: timedelta) -> None:
    """Let the schedules' times have passed, as if no worker had been there."""
    async with probed.parts.db.begin() as tx:
        await tx.execute("UPDATE task_schedules SET next_at = now() - $1::interval", by)


async def tasks_of(api: httpx.AsyncClient, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await api.get("/api/v1/tasks", params={"schedule": schedule["id"]})
    return answer.json()["items"]


async def test_a_week_without_workers_is_made_up_for_by_one_task(
    api: httpx.AsyncClient, probed: Runtime
) -> None:
    schedule = await make(api)
    await miss(probed, timedelta(days=7))
    schedules: Schedules = probed.services[Schedules]  # type: ignore[assignment]
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(schedules.promote())
    async with asyncio.timeout(10):
        while not (made := await tasks_of(api, schedule)):
            await asyncio.sleep(0.02)
    assert len(made) == 1
    assert (await until(api, made[0]["id"]))["status"] == "completed"
    now = (await api.get(f"/api/v1/tasks/schedules/{schedule['id']}")).json()
    assert datetime.fromisoformat(now["next_at"]) > probed.parts.clock.now()
    assert now["last_at"] is not None


async def test_a_paused_schedule_makes_nothing_until_it_goes_on(
    api: httpx.AsyncClient, probed: Runtime
) -> None:
    schedule = await make(api)
    path = f"/api/v1/tasks/schedules/{schedule['id']}"
    paused = await api.patch(path, json={"is_paused": True}, headers={"If-Match": '"v1"'})
    assert paused.json()["is_paused"] is True
    await miss(probed, timedelta(days=2))
    schedules: Schedules = probed.services[Schedules]  # type: ignore[assignment]
    await schedules.promote()
    assert await tasks_of(api, schedule) == []
    stale = await api.patch(path, json={"name": "x"}, headers={"If-Match": '"v1"'})
    assert stale.status_code == 412
    going = await api.patch(path, json={"is_paused": False, "cron": "0 0 1 1 *"})
    assert datetime.fromisoformat(going.json()["next_at"]) > probed.parts.clock.now()
    await schedules.promote()
    assert await tasks_of(api, schedule) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron": "every day!!"}, "body.cron"),
        ({"zone": "Mars/Base"}, "body.zone"),
        ({"input": {"to": -1}}, "body.input.to"),
        ({"kind": "no.such"}, "body.kind"),
        ({"name": ""}, "body.name"),
    ],
)
async def test_a_schedule_that_cannot_be_followed_is_refused(
    api: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    answer = await api.post("/api/v1/tasks/schedules", json=NIGHTLY | changes)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert (await api.get("/api/v1/tasks/schedules")).json()["items"] == []


async def test_a_schedule_is_listed_and_deleted(api: httpx.AsyncClient) -> None:
    schedule = await make(api)
    listed = (await api.get("/api/v1/tasks/schedules")).json()["items"]
    assert [one["id"] for one in listed] == [schedule["id"]]
    path = f"/api/v1/tasks/schedules/{schedule['id']}"
    assert (await api.delete(path, headers={"If-Match": '"v9"'})).status_code == 412
    assert (await api.delete(path)).status_code == 204
    assert (await api.delete(path)).status_code == 404
    assert (await api.get(path)).status_code == 404
