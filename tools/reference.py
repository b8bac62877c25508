"""Writes `docs/reference/` from the code; `--check` says whether it is up to date.

What a program says of itself is never wrong: settings, errors, events, metrics, commands and
the operations of the API are read from the modules that define them.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import click
import typer
from fastapi import FastAPI
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import posthouse
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.openapi import build_openapi, operations
from posthouse.settings import Settings
from posthouse.slices import SLICES

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "<!-- Made by `python -m tools.reference`; do not edit. -->\n\n"


def settings_page() -> str:
    """Every setting with its variable, default and meaning."""
    rows = [_row("variable", "default", "what it does"), _row("---", "---", "---")]
    rows += [_row(f"`{name}`", default, text) for name, default, text in _settings(Settings, "")]
    return "# Settings\n\nAll are environment variables.\n\n" + "\n".join(rows) + "\n"


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            yield from _settings(annotation, f"{prefix}{name.upper()}_")
            continue
        if field.default_factory is not None or field.default is PydanticUndefined:
            default = "(none)"
        else:
            known: object = field.default
            if isinstance(known, list):
                known = ",".join(cast("list[str]", known))
            default = f"`{known}`" if known not in {"", None} else "(none)"
        yield f"POSTHOUSE_{prefix}{name.upper()}", default, field.description or ""


def errors_page() -> str:
    """Every problem that an answer can hold."""
    _import_all()
    found = sorted(
        {(kind.code, kind) for kind in _subclasses(PosthouseError)}, key=lambda one: one[0]
    )
    rows = [_row("code", "status", "retry", "when"), _row("---", "---", "---", "---")]
    for code, kind in found:
        about = inspect.getdoc(kind) or kind.title
        retry = "later" if _plain(kind).is_retryable else "no"
        rows.append(_row(f"`{code}`", str(_plain(kind).status), retry, about.splitlines()[0]))
    return (
        "# Errors\n\nEvery error is RFC 9457 `application/problem+json`; act on `code`.\n\n"
        + "\n".join(rows)
        + "\n"
    )


def _plain(kind: type[PosthouseError]) -> PosthouseError:
    error = PosthouseError.__new__(kind)
    PosthouseError.__init__(error)
    return error


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("posthouse."):
            yield one
        yield from _subclasses(one)


def events_page() -> str:
    """Every event that a slice announces."""
    lines = ["# Events", "", "Told through the outbox, at least once, in no promised order.", ""]
    lines += [_row("event", "version", "when"), _row("---", "---", "---")]
    for one in SLICES:
        for event in one.events:
            about = (inspect.getdoc(event) or "").splitlines()[0]
            lines.append(_row(f"`{event.name}`", str(event.version), about))
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every verb of the command line with its help."""
    from posthouse.cli import app, load_slices  # noqa: PLC0415  it imports all of them

    load_slices()
    lines = ["# Commands", ""]
    for path, command in _commands(typer.main.get_command(app), "posthouse"):
        lines += [f"## `{path}`", "", (command.help or "").strip(), ""]
        for parameter in command.params:
            about = getattr(parameter, "help", None)
            if about:
                lines.append(f"- `{' '.join(parameter.opts)}`: {about}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _commands(command: Any, path: str) -> Iterator[tuple[str, click.Command]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
        return
    for name in sorted(inner):
        yield from _commands(inner[name], f"{path} {name}")


def api_page() -> str:
    """Every operation of the API."""
    api = FastAPI()
    for one in SLICES:
        for routes in one.routes:
            api.include_router(routes.router, prefix="/api/v1")
    document = build_openapi(api, SLICES)
    lines = ["# API", "", "The whole document is at `/docs/openapi.json`.", ""]
    lines += [_row("operation", "what it does", "scope", "answers")]
    lines += [_row("---", "---", "---", "---")]
    for method, path, operation in operations(document):
        scope = operation.get("x-scope")
        lines.append(
            _row(
                f"`{method} {path}`",
                operation.get("summary", ""),
                f"`{scope}`" if scope else "(anybody)",
                " ".join(operation["responses"]),
            )
        )
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of the kernel; the slices' tallies are named in their manifests."""
    metrics = Metrics()
    lines = ["# Metrics", "", "Prometheus reads them at `/metrics` of the admin listener.", ""]
    lines += [_row("metric", "what it counts"), _row("---", "---")]
    for family in metrics.registry.collect():
        if not family.name.endswith("_created"):
            lines.append(_row(f"`{family.name}`", family.documentation))
    return "\n".join(lines) + "\n"


def _import_all() -> None:
    for found in pkgutil.walk_packages(posthouse.__path__, "posthouse."):
        if "migrations.env" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "commands.md": commands_page,
    "api.md": api_page,
    "metrics.md": metrics_page,
}


def stale() -> list[str]:
    """The pages that are not as the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text("utf-8") != _MADE + make()
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only name those that are stale."""
    if "--check" in arguments:
        for name in stale():
            sys.stdout.write(f"docs/reference/{name} is stale; run python -m tools.reference\n")
        return 1 if stale() else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(_MADE + make(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
