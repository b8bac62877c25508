"""The JSON routes of tasks."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.uploads import TaskAccepted, accept
from posthouse.tasks.errors import (
    ScheduleInvalidError,
    ScheduleNotFoundError,
    TaskEndedError,
    TaskNotEndedError,
    TaskNotFoundError,
    UnknownKindError,
)
from posthouse.tasks.imports import Imports
from posthouse.tasks.model import (
    READ,
    SCHEDULE,
    TASK,
    WRITE,
    ScheduleId,
    Task,
    TaskFilter,
    TaskId,
    TaskStatus,
)
from posthouse.tasks.schedules import Schedules
from posthouse.tasks.schemas import (
    KindsOut,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    TaskIn,
    TaskOut,
    csv_of,
    show,
    show_kind,
    show_schedule,
)
from posthouse.tasks.service import Tasks
from posthouse.tasks.watching import Watching

routes = Routes.of("tasks")

the_tasks = service(Tasks)
the_schedules = service(Schedules)
the_imports = service(Imports)
the_watching = service(Watching)

Caller = Annotated[Principal, Depends(current_principal)]
TasksDep = Annotated[Tasks, Depends(the_tasks)]
SchedulesDep = Annotated[Schedules, Depends(the_schedules)]
ImportsDep = Annotated[Imports, Depends(the_imports)]
WatchingDep = Annotated[Watching, Depends(the_watching)]
TaskPath = Annotated[str, Path(description="The id of a task, such as `tsk_01j…`.")]
SchedulePath = Annotated[str, Path(description="The id of a schedule, such as `sch_01j…`.")]

_POLL_S = "1"
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `task`, whose id is the task's version.",
        "content": {"text/event-stream": {"schema": {}}},
    }
}


_CSV = {
    200: {
        "description": "A line for each problem: row, field, code, message.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


@routes.post("/tasks", needs=WRITE, raises=(UnknownKindError,), status=202,
             response_model=TaskAccepted, summary="Run a task")  # fmt: skip
async def ask(body: TaskIn, caller: Caller, response: Response, tasks: TasksDep) -> TaskAccepted:
    """Accept a task; a worker runs it at once, or when it is due."""
    task = await tasks.ask(caller, body.wanted())
    return accept(response, TASK.show(task.id), is_replayed=False)


@routes.get("/tasks", needs=READ, response_model=Page[TaskOut], summary="List tasks")
async def list_tasks(
    caller: Caller,
    paging: PagingDep,
    tasks: TasksDep,
    status: Annotated[TaskStatus | None, Query(description="Only in this status.")] = None,
    kind: Annotated[str | None, Query(max_length=100, description="Only of this kind.")] = None,
    schedule: Annotated[
        str | None, Query(pattern=SCHEDULE.pattern, description="Only of this schedule.")
    ] = None,
) -> Page[TaskOut]:
    """List the workspace's tasks, newest first."""
    made_by = ScheduleId(SCHEDULE.read(schedule)) if schedule else None
    rows = await tasks.page(caller, TaskFilter(status, kind, made_by), paging.keyset)
    return paging.page(rows, key=lambda task: (str(task.id),), show=show)


@routes.get("/tasks/kinds", needs=READ, response_model=KindsOut, summary="List kinds of task")
async def list_kinds(caller: Caller, tasks: TasksDep) -> KindsOut:
    """List what can be asked for by POST /tasks, and what each takes."""
    return KindsOut(kinds=[show_kind(kind) for kind in tasks.kinds_for(caller)])


@routes.post("/tasks/schedules", needs=WRITE, raises=(UnknownKindError, ScheduleInvalidError),
             status=201, response_model=ScheduleOut, summary="Make a schedule")  # fmt: skip
async def make_schedule(
    body: ScheduleIn, caller: Caller, response: Response, schedules: SchedulesDep
) -> ScheduleOut:
    """Make a task whenever a cron expression says so."""
    made = await schedules.make(caller, body.wanted())
    response.headers["Location"] = f"/api/v1/tasks/schedules/{SCHEDULE.show(made.id)}"
    response.headers["ETag"] = etag(made.version)
    return show_schedule(made)


@routes.get("/tasks/schedules", needs=READ, response_model=Page[ScheduleOut],
            summary="List schedules")  # fmt: skip
async def list_schedules(
    caller: Caller, paging: PagingDep, schedules: SchedulesDep
) -> Page[ScheduleOut]:
    """List the workspace's schedules, newest first."""
    rows = await schedules.page(caller, paging.keyset)
    return paging.page(rows, key=lambda one: (str(one.id),), show=show_schedule)


@routes.get("/tasks/schedules/{schedule_id}", needs=READ, raises=(ScheduleNotFoundError,),
            response_model=ScheduleOut, summary="Show a schedule")  # fmt: skip
async def find_schedule(
    schedule_id: SchedulePath, caller: Caller, response: Response, schedules: SchedulesDep
) -> ScheduleOut:
    """Show a schedule."""
    found = await schedules.find(caller, ScheduleId(SCHEDULE.read(schedule_id)))
    response.headers["ETag"] = etag(found.version)
    return show_schedule(found)


@routes.patch("/tasks/schedules/{schedule_id}", needs=WRITE,
              raises=(ScheduleNotFoundError, ScheduleInvalidError, UnknownKindError),
              response_model=ScheduleOut, summary="Change a schedule")  # fmt: skip
async def edit_schedule(
    schedule_id: SchedulePath,
    body: SchedulePatch,
    caller: Caller,
    request: Request,
    response: Response,
    schedules: SchedulesDep,
) -> ScheduleOut:
    """Change the fields that are named, pause it or let it go on."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    which = ScheduleId(SCHEDULE.read(schedule_id))
    changed = await schedules.edit(caller, which, changes, version=if_match(request))
    response.headers["ETag"] = etag(changed.version)
    return show_schedule(changed)


@routes.delete("/tasks/schedules/{schedule_id}", needs=WRITE,
               raises=(ScheduleNotFoundError, StaleError), summary="Delete a schedule")  # fmt: skip
async def delete_schedule(
    schedule_id: SchedulePath, caller: Caller, request: Request, schedules: SchedulesDep
) -> None:
    """Delete a schedule; the tasks that it made stay."""
    which = ScheduleId(SCHEDULE.read(schedule_id))
    await schedules.delete(caller, which, version=if_match(request))


@routes.get("/tasks/{task_id}", needs=READ, raises=(TaskNotFoundError,), response_model=TaskOut,
            summary="Show a task")  # fmt: skip
async def find(task_id: TaskPath, caller: Caller, response: Response, tasks: TasksDep) -> TaskOut:
    """Show where a task is, how far, and what came of it."""
    task = await tasks.find(caller, TaskId(TASK.read(task_id)))
    if not task.status.is_final:
        response.headers["Retry-After"] = _POLL_S
    return show(task)


@routes.post("/tasks/{task_id}/cancel", needs=WRITE, raises=(TaskNotFoundError, TaskEndedError),
             response_model=TaskOut, summary="Cancel a task", reads_json=False)  # fmt: skip
async def cancel(task_id: TaskPath, caller: Caller, tasks: TasksDep) -> TaskOut:
    """Cancel a task that waits; ask one that runs to stop, and stop it if it does not."""
    return show(await tasks.cancel(caller, TaskId(TASK.read(task_id))))


@routes.post("/tasks/{task_id}/retry", needs=WRITE, raises=(TaskNotFoundError, TaskNotEndedError),
             response_model=TaskOut, summary="Run a task again", reads_json=False)  # fmt: skip
async def retry(task_id: TaskPath, caller: Caller, tasks: TasksDep) -> TaskOut:
    """Run a task again that failed or was cancelled, with all its attempts."""
    return show(await tasks.retry(caller, TaskId(TASK.read(task_id))))


@routes.get("/tasks/{task_id}/events", needs=READ, raises=(TaskNotFoundError,), responses=_STREAM,
            response_class=Response, summary="Watch a task")  # fmt: skip
async def watch(
    task_id: TaskPath,
    caller: Caller,
    tasks: TasksDep,
    watching: WatchingDep,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The id of the last event that you saw.")
    ] = None,
) -> StreamingResponse:
    """Stream a task's changes as server-sent events until it has ended."""
    task = await tasks.find(caller, TaskId(TASK.read(task_id)))
    is_number = last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit()
    events = watching.follow(task, int(last_event_id or 0) if is_number else 0)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(events), headers=headers, media_type="text/event-stream")


@routes.get("/tasks/{task_id}/report", needs=READ, raises=(TaskNotFoundError,), responses=_CSV,
            response_class=Response, summary="Read an import's report")  # fmt: skip
async def report(task_id: TaskPath, caller: Caller, imports: ImportsDep) -> StreamingResponse:
    """Give all that is wrong with the rows of an import, as CSV."""
    problems = await imports.report(caller, TaskId(TASK.read(task_id)))
    headers = {"Content-Disposition": f'attachment; filename="{task_id}.csv"'}
    return StreamingResponse(csv_of(problems), headers=headers, media_type="text/csv")


async def _stream(events: AsyncGenerator[Task | None]) -> AsyncGenerator[bytes]:
    yield b"retry: 1000\n\n"
    async for task in events:
        if task is None:
            yield b": still here\n\n"
        else:
            yield b"id: %d\nevent: task\ndata: %b\n\n" % (task.version, to_json(show(task)))
