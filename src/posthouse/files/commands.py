"""`posthouse files …`: the verbs of files on the command line."""

import io
import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn

import httpx
import typer
from typing_extensions import override

from posthouse.files.recipefiles import read_recipe
from posthouse.kernel.client import Client, Table, fail, open_client, show

app = typer.Typer(help="Files: upload, watch, get, process.", no_args_is_help=True)
recipes = typer.Typer(help="Recipes: list, show, save, check, delete.", no_args_is_help=True)
app.add_typer(recipes, name="recipes")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FileId = Annotated[str, typer.Argument(help="The id of a file, such as fil_01j…")]
RecipeName = Annotated[str, typer.Argument(help="The name of a recipe.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay until the work has ended.")]

Moved = Callable[[int], None]

_FINAL = {"completed", "failed", "cancelled"}
_LOOK_S = 0.3
_PIECE = 262_144
_NO_INPUT, _BAD_INPUT, _FAILED = 66, 65, 1


@app.command()
def upload(
    path: Annotated[Path, typer.Argument(help="The file to send.")],
    recipe: Annotated[
        str | None, typer.Option(help="A saved recipe's name, or a YAML or JSON file.")
    ] = None,
    expires_in: Annotated[int | None, typer.Option(help="Delete it after so many seconds.")] = None,
    *,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Send a file, and work on it by a recipe."""
    if not path.is_file():
        fail(f"There is no file {path}.", _NO_INPUT)
    fields = {"expires_in": str(expires_in)} if expires_in else {}
    if recipe is not None:
        fields["recipe"] = recipe_text(recipe)
    with open_client() as client, _counted(path, quiet=as_json) as opened:
        accepted = client.send_form("/files/upload", fields, path.name, opened)
        if watch:
            _follow(client, accepted["job_id"], as_json=as_json)
        elif as_json:
            show(accepted, as_json=True, table=lambda: Table("", (), ()))
        else:
            typer.echo(accepted["job_id"])


@app.command("list")
def list_files(
    query: Annotated[str | None, typer.Argument(help="Part of the name.")] = None,
    media_type: Annotated[str | None, typer.Option("--type", help="Such as image/png.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List files, newest first."""
    with open_client() as client:
        params = {"q": query, "media_type": media_type}
        found = list(client.pages("/files", limit=limit, params=params))
    columns = ("id", "name", "media_type", "size_bytes", "status", "created_at")
    rows = [[one[column] for column in columns] for one in found]
    show(found, as_json=as_json, table=lambda: Table(f"{len(found)} files", columns, rows))


@app.command()
def status(file_id: FileId, *, watch: Watch = False, as_json: AsJson = False) -> None:
    """Show a file, its results, and how far the work on it is."""
    with open_client() as client:
        if watch:
            _follow(client, file_id, as_json=as_json)
            return
        found = client.call("GET", f"/files/{file_id}/status")
    show(found, as_json=as_json, table=lambda: _table(found))


@app.command()
def get(
    file_id: FileId,
    name: Annotated[
        str | None, typer.Argument(help="A result, or source; without it all results.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, or a folder to put it into.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Save results of a file, or with `source` the file itself."""
    with open_client() as client:
        found = client.call("GET", f"/files/{file_id}/status")
        wanted = _wanted(found, name)
        if output is not None and not output.is_dir() and len(wanted) > 1:
            fail("There are several results; name a folder with --output.", _BAD_INPUT)
        saved = [
            _save(client, url, _place(output, filename), quiet=as_json) for filename, url in wanted
        ]
    rows = [(str(path), path.stat().st_size) for path in saved]
    data = [{"path": path, "size_bytes": size} for path, size in rows]
    show(data, as_json=as_json, table=lambda: Table("", ("saved", "bytes"), rows))


@app.command()
def delete(file_id: FileId, *, as_json: AsJson = False) -> None:
    """Delete a file and its results for good."""
    with open_client() as client:
        client.call("DELETE", f"/files/{file_id}")
    show({"deleted": file_id}, as_json=as_json, table=lambda: Table("", ("deleted",), [[file_id]]))


@app.command()
def usage(*, as_json: AsJson = False) -> None:
    """Show how many bytes are stored, and how many may be."""
    with open_client() as client:
        found = client.call("GET", "/files/usage")
    show(found, as_json=as_json, table=lambda: Table("", ("", "bytes"), list(found.items())))


@app.command()
def processors(*, as_json: AsJson = False) -> None:
    """List what steps of recipes can use."""
    with open_client() as client:
        found = client.call("GET", "/files/processors")["processors"]
    rows = [(one["name"], one["summary"], ", ".join(one["options"]["properties"])) for one in found]
    show(found, as_json=as_json, table=lambda: Table("", ("use", "does", "options"), rows))


@recipes.command("list")
def list_recipes(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List saved recipes by name."""
    with open_client() as client:
        found = list(client.pages("/files/recipes", limit=limit, params={}))
    rows = [(one["name"], one["version"], ", ".join(one["steps"])) for one in found]
    columns = ("name", "version", "steps")
    show(found, as_json=as_json, table=lambda: Table(f"{len(found)} recipes", columns, rows))


@recipes.command("show")
def show_recipe(
    name: RecipeName,
    version: Annotated[int | None, typer.Option(help="This version, not the newest.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a recipe."""
    with open_client() as client:
        found = client.call("GET", f"/files/recipes/{name}", params={"version": version})
    show(found, as_json=as_json, table=lambda: Table("", ("field", "value"), list(found.items())))


@recipes.command()
def save(
    name: RecipeName,
    path: Annotated[Path, typer.Argument(help="A YAML or JSON file with steps.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Save a recipe from a file; a change makes a new version."""
    with open_client() as client:
        saved = client.call("PUT", f"/files/recipes/{name}", body=read_recipe(path))
    show(
        saved,
        as_json=as_json,
        table=lambda: Table("", ("name", "version"), [(saved["name"], saved["version"])]),
    )


@recipes.command()
def check(
    recipe: Annotated[str, typer.Argument(help="A saved recipe's name, or a YAML or JSON file.")],
    media_type: Annotated[
        str | None, typer.Option("--type", help="The type of the file, such as image/jpeg.")
    ] = None,
    file: Annotated[str | None, typer.Option(help="A stored file, instead of a type.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell what a recipe would make of a file, and what it may use, without running it."""
    given = read_recipe(Path(recipe)) if Path(recipe).is_file() else recipe
    body = {"recipe": given, "media_type": media_type, "file": file}
    with open_client() as client:
        found = client.call("POST", "/files/recipes/check", body=body)
    rows = [
        (one["step"], one["use"], out["name"], out["media_type"], one["memory_bytes"], one["cpu_s"])
        for one in found["steps"]
        for out in one["outputs"]
    ]
    columns = ("step", "use", "makes", "type", "memory", "cpu s")
    show(found, as_json=as_json, table=lambda: Table("", columns, rows))


@recipes.command("delete")
def delete_recipe(name: RecipeName, *, as_json: AsJson = False) -> None:
    """Delete all versions of a recipe."""
    with open_client() as client:
        client.call("DELETE", f"/files/recipes/{name}")
    show({"deleted": name}, as_json=as_json, table=lambda: Table("", ("deleted",), [[name]]))


def recipe_text(given: str) -> str:
    """A recipe as the API takes it in a query: a name as it is, a file as JSON."""
    path = Path(given)
    return json.dumps(read_recipe(path)) if path.is_file() else given


@contextmanager
def _counted(path: Path, *, quiet: bool) -> Generator[IO[bytes]]:
    """A file that is read with a bar that shows how much of it has been."""
    with (
        _bar(path.name, path.stat().st_size, quiet=quiet) as moved,
        _Counted(path, moved) as opened,
    ):
        yield opened


class _Counted(io.BufferedReader):
    """Tells how many bytes are read."""

    def __init__(self, path: Path, moved: Moved) -> None:
        super().__init__(io.FileIO(path))
        self._moved = moved

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._moved(len(piece))
        return piece


@contextmanager
def _bar(name: str, total: int | None, *, quiet: bool) -> Generator[Moved]:
    """A progress bar on standard error; it gives what is called with each number of bytes."""
    if quiet or not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.console import Console  # noqa: PLC0415  slow to import
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn  # noqa: PLC0415

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total)

        def moved(count: int) -> None:
            bar.advance(task, count)

        yield moved


def _show_nothing(count: int) -> None:
    del count


def _follow(client: Client, file_id: str, *, as_json: bool) -> None:
    """Show each change on a line, then the file; the exit code is 1 if the work failed.

    Raises:
        SystemExit: it failed or was cancelled.
    """
    said = ""
    while True:
        found: dict[str, Any] = client.call("GET", f"/files/{file_id}/status")
        line = _line(found)
        if line != said and not as_json:
            typer.echo(line)
        said = line
        if found["status"] in _FINAL:
            break
        time.sleep(_LOOK_S)  # noqa: TID251  a command, not a server
    show(found, as_json=as_json, table=lambda: _table(found))
    if found["status"] != "completed":
        raise SystemExit(_FAILED)


def _line(found: dict[str, Any]) -> str:
    done, total = found["progress"]["done"], found["progress"]["total"]
    far = f"{100 * done // total} %" if total else ""
    parts = [found["status"], far, found["progress"]["message"]]
    return "  ".join(part for part in parts if part)


def _table(found: dict[str, Any]) -> Table:
    rows: list[tuple[object, object]] = [
        (name, found[name]) for name in ("id", "name", "status", "media_type", "size_bytes")
    ]
    if found["problem"]:
        problem = found["problem"]
        rows.append(("problem", f"{problem['title']}: {problem['detail']} ({problem['code']})"))
    rows += [
        (one["name"], f"{one['filename']}, {one['media_type']}, {one['size_bytes']} bytes")
        for one in found["results"]
    ]
    return Table("", ("field", "value"), rows)


def _wanted(found: dict[str, Any], name: str | None) -> list[tuple[str, str]]:
    """What is to be saved: [(filename, url), …]; ends the program if there is none.

    Raises:
        SystemExit: there is no such result.
    """
    if name == "source":
        return [(found["name"], found["url"])]
    chosen = [one for one in found["results"] if name in {None, one["name"]}]
    if not chosen:
        _no_result(found, name)
    return [(one["filename"], one["url"]) for one in chosen]


def _no_result(found: dict[str, Any], name: str | None) -> NoReturn:
    known = ", ".join(["source", *(one["name"] for one in found["results"])])
    wanted = f"no result {name}" if name else "no results"
    fail(f"The file is {found['status']} and has {wanted}. There is: {known}.", _NO_INPUT)


def _place(output: Path | None, filename: str) -> Path:
    """Where a download is saved; its name is the server's, so it is taken for a name alone."""
    plain = Path(filename).name or "file"
    if output is None:
        return Path(plain)
    return output / plain if output.is_dir() else output


def _save(client: Client, url: str, path: Path, *, quiet: bool) -> Path:
    """Read an address into a file, which is there only when it is whole."""
    half = path.with_name(f".{path.name}.part")
    try:
        with client.stream(url) as answer, half.open("wb") as opened:
            size = answer.headers.get("content-length")
            with _bar(path.name, int(size) if size else None, quiet=quiet) as moved:
                for piece in answer.iter_bytes(_PIECE):
                    opened.write(piece)
                    moved(len(piece))
        half.replace(path)
    except (OSError, httpx.HTTPError) as error:
        half.unlink(missing_ok=True)
        fail(f"{path} cannot be saved ({type(error).__name__}: {error}).", _FAILED)
    return path
