"""The command line: an operator's verbs, and each slice's own."""

import importlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="posthouse",
    help="Short links, notifications and files: the back office of a product.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Slices with verbs: their modules are imported only when one of them is asked for.
_SLICE_COMMANDS = {
    "accounts": "posthouse.accounts.commands",
    "links": "posthouse.links.commands",
    "files": "posthouse.files.commands",
    "notify": "posthouse.notifications.commands",
    "catalog": "posthouse.catalog.commands",
    "tasks": "posthouse.tasks.commands",
    "templates": "posthouse.notifications.templatecommands",
}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def up(
    data: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
) -> None:
    """Run the whole product here, with its own Postgres and Valkey."""
    from posthouse.operate import up as operate

    raise typer.Exit(operate.main(data, host, port))


@app.command()
def serve() -> None:
    """Run one HTTP process against POSTHOUSE_DATABASE_URL and POSTHOUSE_VALKEY_URL."""
    from posthouse.kernel.blobs import leave
    from posthouse.operate.serve import serve as run
    from posthouse.settings import read_settings

    leave(run(read_settings()))


@app.command()
def worker() -> None:
    """Run one worker process."""
    from posthouse.kernel.blobs import leave
    from posthouse.operate.serve import run_worker
    from posthouse.settings import read_settings

    leave(run_worker(read_settings()))


@app.command()
def prepare(*, as_json: AsJson = False) -> None:
    """Migrate the database; on a first run make a workspace, its owner and a key."""
    del as_json
    from posthouse.operate.prepare import prepare as run
    from posthouse.settings import read_settings

    raise typer.Exit(run(read_settings()))


@app.command()
def migrate() -> None:
    """Bring the database's schema to this version."""
    from posthouse.operate.migrate import main as operate
    from posthouse.settings import read_settings

    raise typer.Exit(operate(read_settings().database_url))


@app.command()
def doctor(
    data: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this installation, and what to do about it."""
    from posthouse.kernel.blobs import leave
    from posthouse.operate import doctor as operate

    leave(operate.main(data, as_json=as_json))


@app.command()
def process(
    path: Annotated[Path, typer.Argument(help="The file to work on.")],
    recipe: Annotated[Path, typer.Option(help="A YAML or JSON file with steps.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for the results.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Work on a file of this machine by a recipe, without a server."""
    from posthouse.operate import process as operate

    raise typer.Exit(operate.main(path, recipe, output, as_json=as_json))


@app.command("new-slice")
def new_slice(
    name: Annotated[str, typer.Argument(help="The slice, a plural such as parcels.")],
    noun: Annotated[str | None, typer.Option(help="One of them, such as parcel.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a slice of your own in this clone: rooms, tests, a migration and a guide."""
    from posthouse.operate import newslice as operate

    raise typer.Exit(operate.main(name, noun, as_json=as_json))


def load_slices(names: Collection[str] = tuple(_SLICE_COMMANDS)) -> None:
    """Add the verbs of slices; each costs the import of its module."""
    for name in names:
        app.add_typer(importlib.import_module(_SLICE_COMMANDS[name]).app, name=name)


def main() -> None:
    """Run the command line; an operator's verb imports no slice."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if verb in _SLICE_COMMANDS:
        load_slices([verb])
    elif verb not in {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }:
        load_slices()
    app()
