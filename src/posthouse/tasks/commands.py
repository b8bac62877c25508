"""`posthouse tasks …`: the verbs of tasks on the command line."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from posthouse.kernel.client import Client, Table, fail, open_client, show

app = typer.Typer(help="Long work: run, list, watch, cancel, retry.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TaskId = Annotated[str, typer.Argument(help="The id of a task, such as tsk_01j…")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay and show what changes.")]

_FINAL = {"completed", "failed", "cancelled"}
_LOOK_S = 0.5


@app.command()
def run(
    kind: Annotated[str, typer.Argument(help="A kind of task; `posthouse tasks kinds` has them.")],
    given: Annotated[str, typer.Argument(help="What it takes, as a JSON object.")] = "{}",
    *,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Run a task."""
    try:
        body = {"kind": kind, "input": json.loads(given)}
    except ValueError:
        fail("The input is not JSON.", 65)
    with open_client() as client:
        accepted = client.call("POST", "/tasks", body=body)
        if watch:
            _follow(client, accepted["task_id"], as_json=as_json)
            return
    if as_json:
        show(accepted, as_json=True, table=lambda: _one(accepted))
    else:
        typer.echo(accepted["task_id"])


@app.command("list")
def list_tasks(
    status: Annotated[
        str | None, typer.Option(help="pending, running, completed, failed or cancelled.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    params = {"status": status, "kind": kind}
    with open_client() as client:
        if watch and not as_json:
            _live(client, params, limit)
            return
        tasks = list(client.pages("/tasks", limit=limit, params=params))
    show(tasks, as_json=as_json, table=lambda: _table(tasks))


@app.command("show")
def show_task(task_id: TaskId, *, watch: Watch = False, as_json: AsJson = False) -> None:
    """Show a task; with --watch until it has ended."""
    with open_client() as client:
        if watch:
            _follow(client, task_id, as_json=as_json)
            return
        task = client.call("GET", f"/tasks/{task_id}")
    show(task, as_json=as_json, table=lambda: _one(task))


@app.command()
def cancel(task_id: TaskId, *, as_json: AsJson = False) -> None:
    """Cancel a task."""
    _change(task_id, "cancel", as_json=as_json)


@app.command()
def retry(task_id: TaskId, *, as_json: AsJson = False) -> None:
    """Run a failed or cancelled task again."""
    _change(task_id, "retry", as_json=as_json)


@app.command()
def kinds(*, as_json: AsJson = False) -> None:
    """List the kinds of task that can be run."""
    with open_client() as client:
        found = client.call("GET", "/tasks/kinds")["kinds"]
    rows = [
        (one["name"], one["summary"], ", ".join(one["input_schema"].get("properties", ())))
        for one in found
    ]
    show(found, as_json=as_json, table=lambda: Table("", ("kind", "does", "takes"), rows))


def _change(task_id: str, verb: str, *, as_json: bool) -> None:
    with open_client() as client:
        task = client.call("POST", f"/tasks/{task_id}/{verb}")
    show(task, as_json=as_json, table=lambda: _one(task))


def _follow(client: Client, task_id: str, *, as_json: bool) -> None:
    """Show each change on a line; the exit code is 1 if the task does not complete.

    Raises:
        SystemExit: it failed or was cancelled.
    """
    task: dict[str, Any] = {}
    for task in _changes(client, task_id):
        typer.echo(json.dumps(task) if as_json else _line(task))
    if task["status"] != "completed":
        raise SystemExit(1)


def _changes(client: Client, task_id: str) -> Iterator[dict[str, Any]]:
    version = 0
    while True:
        task: dict[str, Any] = client.call("GET", f"/tasks/{task_id}")
        if task["version"] != version:
            version = task["version"]
            yield task
        if task["status"] in _FINAL:
            return
        time.sleep(_LOOK_S)  # noqa: TID251  a command, not a server


def _line(task: dict[str, Any]) -> str:
    parts = [task["status"], _far(task), task["progress"]["message"]]
    if task["error"]:
        parts.append(f"{task['error']['title']} ({task['error']['code']})")
    return "  ".join(part for part in parts if part)


def _live(client: Client, params: dict[str, Any], limit: int) -> None:
    """Show the list again and again until somebody presses Ctrl-C."""
    from rich.live import Live  # noqa: PLC0415  slow to import

    with Live(auto_refresh=False, screen=False) as live:
        while True:
            tasks = list(client.pages("/tasks", limit=limit, params=params))
            live.update(_table(tasks).drawn(), refresh=True)
            time.sleep(2 * _LOOK_S)  # noqa: TID251  a command, not a server


def _far(task: dict[str, Any]) -> str:
    done, total = task["progress"]["done"], task["progress"]["total"]
    if total:
        return f"{done}/{total} ({100 * done // total} %)"
    return str(done) if done else ""


def _table(tasks: list[dict[str, Any]]) -> Table:
    rows = [
        (one["id"], one["kind"], one["status"], _far(one), one["attempts"], one["created_at"])
        for one in tasks
    ]
    columns = ("id", "kind", "status", "progress", "attempts", "created")
    return Table(f"{len(tasks)} tasks", columns, rows)


def _one(task: dict[str, Any]) -> Table:
    return Table("", ("field", "value"), list(task.items()))
