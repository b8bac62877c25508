"""What the tests of the house need to try the routes of tasks."""

from typing import Any

from posthouse.kernel import ids
from posthouse.tasks.model import SCHEDULE, TASK
from tests.make import Maker

BODIES: dict[str, Any] = {"PATCH /tasks/schedules/{schedule_id}": {"name": "x"}}


async def foreign(make: Maker) -> dict[str, str]:
    """A task of a workspace that the caller has nothing to do with, and an unknown schedule."""
    task = await make.task()
    return {"task_id": TASK.show(task.id), "schedule_id": SCHEDULE.show(ids.fresh())}
