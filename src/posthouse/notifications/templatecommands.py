"""`posthouse templates …`: templates as files on the command line."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from posthouse.kernel.client import Client, Table, fail, open_client, show
from posthouse.kernel.errors import PosthouseError
from posthouse.notifications.templatefiles import (
    FileProblemError,
    keys_in,
    layouts_in,
    read_template,
    write_layout,
    write_template,
)

app = typer.Typer(help="Templates: push, pull, preview, list.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Folder = Annotated[Path, typer.Option("--folder", "-f", help="The folder of the templates.")]
Keys = Annotated[
    list[str] | None, typer.Argument(help="Keys of templates; without any: all of them.")
]

_NO_INPUT, _BAD_INPUT = 66, 65
_SHOWN = ("name", "schema", "default_locale", "layout", "locales")
_ALL = 100_000
_FOLDER = Path("templates")


@app.command("list")
def list_templates(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List templates by key."""
    with open_client() as client:
        found = list(client.pages("/templates", limit=limit, params={}))
    columns = ("key", "name", "published", "channels", "locales")
    rows = [
        (one["key"], one["name"], one["published"], " ".join(one["channels"]),
         " ".join(one["locales"]))
        for one in found
    ]  # fmt: skip
    show(found, as_json=as_json, table=lambda: Table(f"{len(found)} templates", columns, rows))


@app.command()
def push(
    keys: Keys = None,
    folder: Folder = _FOLDER,
    *,
    publish: Annotated[bool, typer.Option("--publish", help="Send with them from now on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send templates and layouts of a folder; say of each what is new or changed."""
    with _readable():
        layouts = layouts_in(folder)
        given = {key: read_template(folder, key) for key in _chosen(folder, keys)}
    with open_client() as client:
        needed = {one["layout"] for one in given.values()}
        there = {path: _keys(client, path) for path in ("/templates", "/layouts")}
        rows = [
            _push_layout(client, key, source, is_new=key not in there["/layouts"], dry_run=dry_run)
            for key, source in layouts.items()
            if keys is None or key in needed
        ]
        for key, body in given.items():
            before = None
            if key in there["/templates"]:
                before = client.call("GET", f"/templates/{key}")
            rows.append(_push_template(client, key, body, before, publish=publish, dry_run=dry_run))
    columns = ("what", "key", "change", "published")
    shown = [[row[column] for column in columns] for row in rows]
    show(rows, as_json=as_json, table=lambda: Table("", columns, shown))


@app.command()
def pull(keys: Keys = None, folder: Folder = _FOLDER, *, as_json: AsJson = False) -> None:
    """Write the drafts of templates, and all layouts, as files."""
    written: list[Path] = []
    with open_client() as client, _readable():
        for key in keys or sorted(_keys(client, "/templates")):
            written += write_template(folder, client.call("GET", f"/templates/{key}"))
        for layout in client.pages("/layouts", limit=_ALL, params={}):
            written += write_layout(folder, layout)
    rows = [[str(path)] for path in written]
    data = [str(path) for path in written]
    show(data, as_json=as_json, table=lambda: Table("", ("written",), rows))


@app.command()
def preview(
    key: Annotated[str, typer.Argument(help="The key of a template in the folder.")],
    channel: Annotated[str, typer.Option("--channel", "-c", help="email, sms or push.")] = "email",
    locale: Annotated[str | None, typer.Option(help="A language, such as de-AT.")] = None,
    data: Annotated[Path | None, typer.Option(help="A JSON file with the data.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the HTML into this file.")
    ] = None,
    folder: Folder = _FOLDER,
    *,
    as_json: AsJson = False,
) -> None:
    """Render a template of a folder here, without a server; nothing is sent."""
    from posthouse.notifications.drafts import render_sample  # noqa: PLC0415  slow to import

    if channel not in {"email", "sms", "push"}:
        fail("A channel is email, sms or push.", _BAD_INPUT)
    with _readable():
        content = read_template(folder, key)
        layouts = layouts_in(folder)
    layout = content["layout"]
    if layout is not None and layout not in layouts:
        fail(f"There is no layout {layout} in {folder / 'layouts'}.", _NO_INPUT)
    asked = {
        "content": content,
        "layout": None if layout is None else layouts[layout],
        "channel": channel,
        "locale": locale,
        "data": {} if data is None else _data(data),
    }
    try:
        made = render_sample(asked)
    except PosthouseError as error:
        lines = [f"{error.detail or error.title} ({error.code})"]
        lines += [f"  {one.field}: {one.message}" for one in error.fields]
        fail("\n".join(lines), error.exit_code)
    _show_preview(made, output, as_json=as_json)


def _show_preview(made: dict[str, Any], output: Path | None, *, as_json: bool) -> None:
    if output is not None:
        if made.get("html") is None:
            fail("It has no HTML.", _BAD_INPUT)
        try:
            output.write_text(made["html"], "utf-8")
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}.", 73)
    shown = {
        name: value
        for name, value in made.items()
        if value and name not in {"data", "channel"} and (as_json or name != "html")
    }
    rows = list(shown.items())
    show(shown, as_json=as_json, table=lambda: Table("", ("part", "content"), rows))


def _push_template(
    client: Client,
    key: str,
    body: dict[str, Any],
    before: dict[str, Any] | None,
    *,
    publish: bool,
    dry_run: bool,
) -> dict[str, Any]:
    same = before is not None and all(before[name] == body[name] for name in _SHOWN)
    change = "new" if before is None else "same" if same else _difference(before, body)
    published = before and before["published"]
    if not dry_run:
        if not same:
            client.call("PUT", f"/templates/{key}", body=body)
        if publish:
            published = client.call("POST", f"/templates/{key}/publish")["number"]
    return {"what": "template", "key": key, "change": change, "published": published}


def _push_layout(
    client: Client, key: str, source: dict[str, Any], *, is_new: bool, dry_run: bool
) -> dict[str, Any]:
    before = None if is_new else client.call("GET", f"/layouts/{key}")
    names = ("mjml", "html", "text")
    same = before is not None and all(before[name] == source.get(name) for name in names)
    if not same and not dry_run:
        client.call("PUT", f"/layouts/{key}", body=source)
    change = "new" if before is None else "same" if same else "changed"
    return {"what": "layout", "key": key, "change": change, "published": None}


def _keys(client: Client, path: str) -> set[str]:
    return {one["key"] for one in client.pages(path, limit=_ALL, params={})}


def _difference(before: dict[str, Any], body: dict[str, Any]) -> str:
    """Which parts are not the same, such as `changed: name, en.email`."""
    parts = [name for name in _SHOWN if name != "locales" and before[name] != body[name]]
    for locale in sorted(before["locales"].keys() | body["locales"].keys()):
        old, new = before["locales"].get(locale, {}), body["locales"].get(locale, {})
        parts += [
            f"{locale}.{channel}"
            for channel in sorted(old.keys() | new.keys())
            if old.get(channel) != new.get(channel)
        ]
    return f"changed: {', '.join(parts)}"


def _chosen(folder: Path, keys: list[str] | None) -> list[str]:
    there = keys_in(folder)
    if not there:
        fail(f"There are no templates in {folder}: no folder with a template.json.", _NO_INPUT)
    missing = [key for key in keys or () if key not in there]
    if missing:
        fail(f"There is no template {missing[0]} in {folder}.", _NO_INPUT)
    return keys or there


def _data(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        fail(f"{path} is no JSON file.", _NO_INPUT)
    if not isinstance(found, dict):
        fail(f"{path} holds no object.", _BAD_INPUT)
    return cast("dict[str, Any]", found)


@contextmanager
def _readable() -> Generator[None]:
    """End the program with words where a file is not what it should be."""
    try:
        yield
    except FileProblemError as error:
        fail(f"{error}.", _BAD_INPUT)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}.", _BAD_INPUT)
