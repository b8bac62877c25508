"""`posthouse notify …`: the verbs of notifications on the command line."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from posthouse.kernel.client import Client, Table, fail, open_client, show

app = typer.Typer(help="Notifications: send, watch, explain.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
NotificationId = Annotated[str, typer.Argument(help="The id of a notification: ntf_01j…")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay until it has ended.")]

_OPEN = {"queued", "sending"}
_GOOD = {"done"}
_UNENDED = {"held", "queued", "leased", "sending", "retry_wait", "in_doubt"}
_LOOK_S = 0.5


@app.command()
def send(  # noqa: PLR0913, PLR0917  its options
    to: Annotated[
        list[str],
        typer.Option(
            help="An email address, a number (+49…), topic:KEY, or a recipient by your id or ours; "
            "again for more."
        ),
    ],
    template: Annotated[str | None, typer.Option(help="The key of a template.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="The subject, without a template; emails need one.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to say, without a template.")] = None,
    html: Annotated[Path | None, typer.Option(help="A file with the HTML part.")] = None,
    data: Annotated[str, typer.Option(help="The variables, as a JSON object.")] = "{}",
    channel: Annotated[
        list[str] | None, typer.Option(help="email, sms or push; without it all that fit.")
    ] = None,
    category: Annotated[str, typer.Option(help="What sort of message it is.")] = "general",
    at: Annotated[
        str | None, typer.Option(help="Not before: 2026-12-24T09:00:00Z; without a zone, theirs.")
    ] = None,
    attach: Annotated[
        list[str] | None, typer.Option(help="The id of a file: fil_01j…; again for more.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option(help="Say what would be done, and do not.")] = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Send a notification."""
    body: dict[str, Any] = {
        "to": [_target(one) for one in to],
        "data": _read_data(data),
        "category": category,
        "attachments": attach or [],
    }
    if template:
        body["template"] = template
    else:
        content = {"subject": subject, "text": text, "html": _read_html(html)}
        body["content"] = {name: value for name, value in content.items() if value}
    if channel:
        body["channels"] = channel
    if at:
        body["send_at"] = {"local": at} if _is_local(at) else at
    with open_client() as client:
        if dry_run:
            found = client.call("POST", "/notifications/explain", body=body)
            show(found, as_json=as_json, table=lambda: _why(found))
            return
        accepted = client.call("POST", "/notifications/send", body=body)
        if watch:
            _follow(client, accepted["job_id"], as_json=as_json)
        elif as_json:
            typer.echo(json.dumps(accepted))
        else:
            typer.echo(accepted["job_id"])


@app.command("show")
def show_one(
    notification_id: NotificationId, *, watch: Watch = False, as_json: AsJson = False
) -> None:
    """Show a notification and its messages; with --watch until it has ended."""
    with open_client() as client:
        if watch:
            _follow(client, notification_id, as_json=as_json)
            return
        found = client.call("GET", f"/notifications/{notification_id}")
    show(found, as_json=as_json, table=lambda: _one(found))


@app.command("list")
def list_all(
    status: Annotated[
        str | None,
        typer.Option(help="queued, sending, done, partly_failed, failed or cancelled."),
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List notifications, newest first."""
    params = {"status": status, "category": category}
    with open_client() as client:
        found = list(client.pages("/notifications", limit=limit, params=params))
    show(found, as_json=as_json, table=lambda: _table(found))


@app.command()
def tail(
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    *,
    once: Annotated[bool, typer.Option(help="Show the last ones and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show notifications as they come and as they end, until Ctrl-C."""
    seen: dict[str, str] = {}
    with open_client() as client:
        while True:
            found = list(client.pages("/notifications", limit=50, params={"category": category}))
            for one in reversed(found):
                if seen.get(one["id"]) != one["status"]:
                    seen[one["id"]] = one["status"]
                    typer.echo(json.dumps(one) if as_json else _line(one))
            if once:
                return
            time.sleep(2 * _LOOK_S)  # noqa: TID251  a command, not a server


@app.command()
def explain(notification_id: NotificationId, *, as_json: AsJson = False) -> None:
    """Say for each message why it was sent, held or left."""
    with open_client() as client:
        found = client.call("GET", f"/notifications/{notification_id}/explain")
    show(found, as_json=as_json, table=lambda: _why(found))


@app.command()
def cancel(notification_id: NotificationId, *, as_json: AsJson = False) -> None:
    """Stop what still waits of a notification."""
    with open_client() as client:
        found = client.call("POST", f"/notifications/{notification_id}/cancel")
    show(found, as_json=as_json, table=lambda: _table([found]))


def _target(text: str) -> dict[str, str]:
    if text.startswith("topic:"):
        return {"topic": text.removeprefix("topic:")}
    if text.startswith("+"):
        return {"phone": text}
    return {"email": text} if "@" in text else {"recipient": text}


def _is_local(at: str) -> bool:
    return not at.endswith("Z") and "+" not in at and at.count("-") <= 2  # noqa: PLR2004  of a date


def _read_data(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        fail("--data is not JSON.", 65)
    if not isinstance(data, dict):
        fail("--data is not a JSON object.", 65)
    return data  # pyright: ignore[reportUnknownVariableType]


def _read_html(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}", 66)


def _follow(client: Client, notification_id: str, *, as_json: bool) -> None:
    """Show each change on a line; the exit code is 1 if not all of it was sent.

    Raises:
        SystemExit: something of it failed, or it was cancelled.
    """
    found: dict[str, Any] = {}
    for found in _changes(client, notification_id):
        typer.echo(json.dumps(found) if as_json else _line(found))
    if waits_for_somebody(found):
        fail("Nobody knows whether it was taken; replay it if it is to be sent again.", 1)
    if found["status"] not in _GOOD:
        raise SystemExit(1)


def waits_for_somebody(found: dict[str, Any]) -> bool:
    """Whether all that is open of a notification is in doubt until somebody decides."""
    doubted = [one for one in found["deliveries"] if one["state"] == "in_doubt"]
    is_all = _UNENDED & found["counts"].keys() == {"in_doubt"}
    return is_all and all(one["ready_at"] is None for one in doubted)


def _changes(client: Client, notification_id: str) -> Iterator[dict[str, Any]]:
    told = None
    while True:
        found: dict[str, Any] = client.call("GET", f"/notifications/{notification_id}")
        state = (found["status"], found["counts"])
        if state != told:
            told = state
            yield found
        if found["status"] not in _OPEN or waits_for_somebody(found):
            return
        time.sleep(_LOOK_S)  # noqa: TID251  a command, not a server


def _line(found: dict[str, Any]) -> str:
    counts = ", ".join(f"{state} {count}" for state, count in found.get("counts", {}).items())
    return "  ".join(part for part in (found["id"], found["status"], counts) if part)


def _table(found: list[dict[str, Any]]) -> Table:
    rows = [(one["id"], one["status"], one["category"], one["created_at"]) for one in found]
    title = _counted(len(found), "notification")
    return Table(title, ("id", "status", "category", "created"), rows)


def _one(found: dict[str, Any]) -> Table:
    counts = ", ".join(f"{state} {count}" for state, count in found["counts"].items())
    rows = [
        (one["id"], one["channel"], one["address"], one["state"], one["reason"], one["tries"])
        for one in found["deliveries"]
    ]
    columns = ("message", "channel", "to", "state", "reason", "tries")
    return Table(f"{found['id']}: {found['status']} ({counts})", columns, rows)


def _why(found: dict[str, Any]) -> Table:
    rows = [
        (one["recipient"] or one["address"], one["channel"], one["state"] or one["act"],
         one["rule"], one["words"])
        for one in found["explained"]
    ]  # fmt: skip
    title = _counted(found["total"], "message")
    return Table(title, ("to", "channel", "state", "rule", "why"), rows)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
