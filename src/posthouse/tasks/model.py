"""The values of tasks: ids, choices and frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NewType
from uuid import UUID

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.ids import Prefix

TaskId = NewType("TaskId", UUID)
ScheduleId = NewType("ScheduleId", UUID)
TASK = Prefix("tsk")
SCHEDULE = Prefix("sch")

READ = Scope("tasks:read", Role.VIEWER)
WRITE = Scope("tasks:write", Role.MEMBER)


class TaskStatus(StrEnum):
    """Where a task is, as callers see it."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended, unless somebody retries it."""
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


# The states of the rows: those of the leases, and how a task can end. `dead` failed as well, by
# using up its attempts.
STATUS_OF: Mapping[str, TaskStatus] = {
    "waiting": TaskStatus.PENDING,
    "ready": TaskStatus.PENDING,
    "running": TaskStatus.RUNNING,
    "completed": TaskStatus.COMPLETED,
    "failed": TaskStatus.FAILED,
    "dead": TaskStatus.FAILED,
    "cancelled": TaskStatus.CANCELLED,
}


class Priority(IntEnum):
    """Which of a workspace's tasks go first; no priority passes another workspace's tasks."""

    LOW = -1
    NORMAL = 0
    HIGH = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is; `total` None means that nobody knows."""

    done: int = 0
    total: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class NewTask:
    """What is asked for. `run_at` None means now; after `deadline_at` it is not run any more."""

    kind: str
    input: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    run_at: datetime | None = None
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task. `error` is a problem document; `version` grows with every change."""

    id: TaskId
    workspace_id: UUID
    kind: str
    status: TaskStatus
    priority: Priority
    input: Mapping[str, Any]
    created_by: str
    created_at: datetime
    run_at: datetime
    deadline_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    progress: Progress
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    is_cancelling: bool
    schedule_id: ScheduleId | None
    version: int


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list shows; None means any."""

    status: TaskStatus | None = None
    kind: str | None = None
    schedule_id: ScheduleId | None = None


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A task that is made again and again: by `cron`, told by the wall clock of `zone`."""

    name: str
    kind: str
    input: Mapping[str, Any]
    cron: str
    zone: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule; `last_at` is the moment that its last task was due."""

    id: ScheduleId
    workspace_id: UUID
    name: str
    kind: str
    input: Mapping[str, Any]
    cron: str
    zone: str
    is_paused: bool
    next_at: datetime
    last_at: datetime | None
    created_by: str
    role: Role
    created_at: datetime
    version: int
