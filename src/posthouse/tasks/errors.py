"""What can go wrong with tasks."""

from typing import ClassVar

from posthouse.kernel.errors import (
    FieldProblem,
    InternalError,
    InvalidInputError,
    Kind,
    PosthouseError,
)


class TaskNotFoundError(PosthouseError):
    """There is no such task in this workspace."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "task-not-found"
    title: ClassVar[str] = "There is no such task"


class ScheduleNotFoundError(PosthouseError):
    """There is no such schedule in this workspace."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "schedule-not-found"
    title: ClassVar[str] = "There is no such schedule"


class TaskEndedError(PosthouseError):
    """The task has ended, so there is nothing to cancel."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "task-ended"
    title: ClassVar[str] = "The task has ended already"


class TaskNotEndedError(PosthouseError):
    """Only a task that failed or was cancelled can be run again."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "task-not-ended"
    title: ClassVar[str] = "Only a failed or cancelled task can be run again"


class UnknownKindError(InvalidInputError):
    """No slice has this kind of work, or not for callers."""

    code: ClassVar[str] = "unknown-kind"
    title: ClassVar[str] = "There is no such kind of task"

    def __init__(self, detail: str = "") -> None:
        """Name the field."""
        problem = FieldProblem("body.kind", self.code, "not a kind of GET /tasks/kinds")
        super().__init__(detail or "GET /tasks/kinds lists all of them.", fields=[problem])


class ScheduleInvalidError(InvalidInputError):
    """The cron expression or the zone of a schedule cannot be followed."""

    code: ClassVar[str] = "schedule-invalid"
    title: ClassVar[str] = "This schedule cannot be followed"

    def __init__(self, field: str = "cron", why: str = "") -> None:
        """Name the field and the rule."""
        super().__init__(f"{field}: {why}.", fields=[FieldProblem(f"body.{field}", self.code, why)])


class TaskTimeoutError(InternalError):
    """One run took longer than its kind may."""

    code: ClassVar[str] = "task-timeout"
    title: ClassVar[str] = "The task took too long"


class TaskDeadlineError(InternalError):
    """The deadline of the task passed before it was done."""

    code: ClassVar[str] = "task-deadline-passed"
    title: ClassVar[str] = "The deadline passed before the task was done"


class WorkerLostError(InternalError):
    """The workers that ran the task died, each time."""

    code: ClassVar[str] = "worker-lost"
    title: ClassVar[str] = "The worker was lost each time it ran the task"


class ResultInvalidError(InternalError):
    """What the work gave is not JSON, or is too large to keep."""

    code: ClassVar[str] = "task-result-invalid"
    title: ClassVar[str] = "The task gave a result that cannot be kept"
