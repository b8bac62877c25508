"""What the API of tasks takes and gives."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from posthouse.kernel.moments import Moment
from posthouse.kernel.text import Count, Flag, Name, Str
from posthouse.kernel.work import WorkKind
from posthouse.tasks.importing import RowProblem
from posthouse.tasks.model import (
    SCHEDULE,
    TASK,
    NewSchedule,
    NewTask,
    Priority,
    Schedule,
    Task,
    TaskStatus,
)

KindName = Annotated[Str, Field(min_length=1, max_length=100, examples=["catalog.reprice"])]
Input = Annotated[
    dict[str, Any], Field(description="What the kind takes; GET /tasks/kinds has its schema.")
]
Cron = Annotated[Str, Field(min_length=9, max_length=200, examples=["30 2 * * *"])]
Zone = Annotated[Str, Field(min_length=1, max_length=64, examples=["Europe/Berlin"])]


class PriorityName(StrEnum):
    """Which of your own tasks go first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class TaskIn(BaseModel):
    """A task to be run."""

    model_config = ConfigDict(extra="forbid")

    kind: KindName
    input: Input = Field(default_factory=dict)
    priority: PriorityName = PriorityName.NORMAL
    run_at: Moment | None = Field(default=None, description="Not before; without it at once.")
    deadline_at: Moment | None = Field(default=None, description="Not after; it fails instead.")

    def wanted(self) -> NewTask:
        """Say it as the service takes it."""
        priority = Priority[self.priority.name]
        return NewTask(self.kind, self.input, priority, self.run_at, self.deadline_at)


class ProgressOut(BaseModel):
    """How far a task is; `total` is null while nobody knows."""

    done: Count
    total: Count | None
    message: str


class TaskProblem(BaseModel):
    """Why a task failed: a problem document (RFC 9457) without a request id."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str


class TaskOut(BaseModel):
    """A task."""

    id: str
    kind: str
    status: TaskStatus
    priority: PriorityName
    created_at: datetime
    run_at: datetime = Field(description="When it was to run at the earliest.")
    deadline_at: datetime | None
    started_at: datetime | None = Field(description="When the last attempt began.")
    finished_at: datetime | None
    attempts: int
    progress: ProgressOut
    result: dict[str, Any] | None
    error: TaskProblem | None = Field(description="Why it failed, or its last attempt did.")
    is_cancelling: bool = Field(description="It was cancelled and has not stopped yet.")
    schedule_id: str | None
    created_by: str
    version: int = Field(description="Grows with every change; the id of an event.")


class KindOut(BaseModel):
    """A kind of task that callers may ask for."""

    name: str
    summary: str
    scope: str
    timeout_s: float
    input_schema: dict[str, Any] = Field(description="JSON Schema of `input`.")


class KindsOut(BaseModel):
    """All kinds of task that callers may ask for."""

    kinds: list[KindOut]


class ScheduleIn(BaseModel):
    """A task to be made again and again."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    kind: KindName
    input: Input = Field(default_factory=dict)
    cron: Cron = Field(description="Minute, hour, day of month, month, day of week.")
    zone: Zone = Field(default="UTC", description="An IANA time zone; its wall clock counts.")

    def wanted(self) -> NewSchedule:
        """Say it as the service takes it."""
        return NewSchedule(self.name, self.kind, self.input, self.cron, self.zone)


class SchedulePatch(BaseModel):
    """Fields to change; those that are absent stay."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    input: Input = Field(default_factory=dict)
    cron: Cron = ""
    zone: Zone = ""
    is_paused: Flag = False


class ScheduleOut(BaseModel):
    """A schedule."""

    id: str
    name: str
    kind: str
    input: dict[str, Any]
    cron: str
    zone: str
    is_paused: bool
    next_at: datetime
    last_at: datetime | None = Field(description="When its last task was due.")
    created_by: str
    created_at: datetime
    version: int


def show(task: Task) -> TaskOut:
    """Say a task as the API does."""
    return TaskOut(
        id=TASK.show(task.id),
        kind=task.kind,
        status=task.status,
        priority=PriorityName[task.priority.name],
        created_at=task.created_at,
        run_at=task.run_at,
        deadline_at=task.deadline_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        attempts=task.attempts,
        progress=ProgressOut(
            done=task.progress.done, total=task.progress.total, message=task.progress.message
        ),
        result=_plain(task.result),
        error=TaskProblem.model_validate(task.error) if task.error else None,
        is_cancelling=task.is_cancelling,
        schedule_id=SCHEDULE.show(task.schedule_id) if task.schedule_id else None,
        created_by=task.created_by,
        version=task.version,
    )


def _plain(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if result is None else dict(result)


def show_kind(kind: WorkKind) -> KindOut:
    """Say a kind of task as the API does."""
    return KindOut(
        name=kind.name,
        summary=kind.summary,
        scope=kind.needs.name if kind.needs else "",
        timeout_s=kind.timeout_s,
        input_schema=kind.takes.model_json_schema(),
    )


def show_schedule(schedule: Schedule) -> ScheduleOut:
    """Say a schedule as the API does."""
    return ScheduleOut(
        id=SCHEDULE.show(schedule.id),
        name=schedule.name,
        kind=schedule.kind,
        input=dict(schedule.input),
        cron=schedule.cron,
        zone=schedule.zone,
        is_paused=schedule.is_paused,
        next_at=schedule.next_at,
        last_at=schedule.last_at,
        created_by=schedule.created_by,
        created_at=schedule.created_at,
        version=schedule.version,
    )


async def csv_of(problems: AsyncIterator[RowProblem]) -> AsyncGenerator[bytes]:
    """Say problems as CSV (RFC 4180); a cell that a spreadsheet would run is quoted (CWE-1236)."""
    yield b"row,field,code,message\r\n"
    async for problem in problems:
        line = io.StringIO()
        csv.writer(line).writerow(
            [problem.row, *(_inert(one) for one in (problem.field, problem.code, problem.message))]
        )
        yield line.getvalue().encode()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
