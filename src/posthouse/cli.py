"""The command line: an operator's verbs, and each slice's own."""

import importlib
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
    from posthouse.operate.serve import serve as run
    from posthouse.settings import read_settings

    raise typer.Exit(run(read_settings()))


@app.command()
def worker() -> None:
    """Run one worker process."""
    from posthouse.operate.serve import run_worker
    from posthouse.settings import read_settings

    raise typer.Exit(run_worker(read_settings()))


@app.command()
def prepare(*, as_json: AsJson = False) -> None:
    """Migrate the database; on a first run make a workspace, its owner and a key."""
    del as_json
    from posthouse.operate.prepare import prepare as run
    from posthouse.settings import read_settings

    raise typer.Exit(run(read_settings()))


def main() -> None:
    """Run the command line."""
    for name, module in _SLICE_COMMANDS.items():
        try:
            app.add_typer(importlib.import_module(module).app, name=name)
        except ModuleNotFoundError:
            continue
    app()
