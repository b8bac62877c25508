"""Make a slice: the catalog's rooms, small and empty, with tests, a migration and a guide.

Everything is made ready in a folder beside the source and formatted there; only then it is moved
in. If a move fails, those before it are taken back.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import posthouse
from posthouse.migrations import head, table_modules
from posthouse.operate.slicenames import (
    TEMPLATE,
    Names,
    RefusedError,
    camel,
    check_names,
    fresh_prefix,
    singular,
)

_LISTS = ("src/posthouse/slices.py", "src/posthouse/settings.py", "importlinter.toml")
_TOOL_S = 60
_NEXT = (
    "python -m tools.reference",
    "python -m pytest tests/{plural}",
    "make check",
)


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: paths are relative to the clone."""

    names: Names
    files: tuple[str, ...]
    edited: tuple[str, ...]


def make_slice(plural: str, noun: str | None = None, *, here: Path) -> Made:
    """Make a slice in the clone that `here` lies in: all of it, or nothing.

    Raises:
        RefusedError: `here` is in no clone, or a name will not do.
    """
    root = _clone_of(here)
    table_modules()
    noun = noun or singular(plural)
    if not noun:
        raise RefusedError(f"What is one of `{plural}`? Say it with --noun.")
    check_names(plural, noun, root)
    before = head()
    names = Names(plural, noun, fresh_prefix(noun), f"{int(before) + 1:04}", before)
    with tempfile.TemporaryDirectory(prefix=".new-slice-", dir=root) as folder:
        stage = Path(folder)
        _fill(stage, names)
        edits = _edits(root, names)
        for name, text in edits.items():
            _write(stage / name, text)
        _format(stage)
        targets = _targets(names)
        files = sorted(
            path.relative_to(stage).as_posix()
            for target in targets
            if target not in _LISTS
            for path in [stage / target, *(stage / target).rglob("*")]
            if path.is_file()
        )
        _move_in(stage, root, targets)
    return Made(names, tuple(files), tuple(edits))


def main(plural: str, noun: str | None, *, as_json: bool = False) -> int:
    """Make a slice here and say what to do next; give the exit code."""
    try:
        made = make_slice(plural, noun, here=Path.cwd())
    except RefusedError as refused:
        sys.stderr.write(f"{refused}\nNothing was changed.\n")
        return refused.exit_code
    except OSError as error:
        sys.stderr.write(f"{error}\nNothing was changed.\n")
        return 74  # EX_IOERR of sysexits.h
    steps = [step.format(plural=plural) for step in _NEXT]
    if as_json:
        told = {
            "slice": made.names.plural,
            "noun": made.names.noun,
            "prefix": made.names.prefix,
            "made": made.files,
            "edited": made.edited,
            "next": steps,
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    lines = [f"made    {name}" for name in made.files]
    lines += [f"edited  {name}" for name in made.edited]
    lines += ["", "Next:", *(f"  {step}" for step in steps)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _clone_of(here: Path) -> Path:
    """The clone that this program runs from.

    Raises:
        RefusedError: it does not run from the clone that `here` is in.
    """
    root = Path(posthouse.__file__).resolve().parents[2]
    parts = (*_LISTS, "pyproject.toml", "tests/make.py", "tools/house.py", "docs/guides")
    is_clone = all((root / part).exists() for part in parts)
    if not is_clone or not here.resolve().is_relative_to(root):
        raise RefusedError(
            "A slice is made in a clone of the repository, by that clone's own program: go there, "
            "and run .venv/bin/posthouse new-slice (`make install` makes it)."
        )
    return root


def _targets(names: Names) -> tuple[str, ...]:
    return (
        f"src/posthouse/{names.plural}",
        f"tests/{names.plural}",
        f"src/posthouse/migrations/versions/{names.revision}_{names.plural}.py",
        f"docs/guides/{names.plural}.md",
        *_LISTS,
    )


def _fill(stage: Path, names: Names) -> None:
    rooms, tests, migration, guide = (stage / target for target in _targets(names)[:4])
    _write(migration, names.render((TEMPLATE / "migration.py.txt").read_text("utf-8")))
    _write(guide, names.render((TEMPLATE / "guide.md.txt").read_text("utf-8")))
    for source, target in ((TEMPLATE / "rooms", rooms), (TEMPLATE / "tests", tests)):
        for path in source.glob("*.txt"):
            name = names.render(path.name.removesuffix(".txt"))
            _write(target / name, names.render(path.read_text("utf-8")))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _edits(root: Path, names: Names) -> Mapping[str, str]:
    """The three lists that name every slice, with the new one in them.

    Raises:
        RefusedError: a list does not look as it did when this was written.
    """
    one, kind, constant = names.plural, f"{camel(names.plural)}Settings", names.plural.upper()
    block = r"((?:    \w+: \w+Settings = \w+Settings\(\)\n)+)"
    changes = {
        "src/posthouse/slices.py": (
            (
                r"\nSLICES: ",
                f"from posthouse.{one}.manifest import SLICE as {constant}\n\nSLICES: ",
            ),
            (r"(SLICES: tuple\[Slice, \.\.\.\] = \([^)]*?),?\s*\)", rf"\1, {constant})"),
        ),
        "src/posthouse/settings.py": (
            (r"\nCommaList = ", f"from posthouse.{one}.settings import {kind}\n\nCommaList = "),
            (block, rf"\1    {one}: {kind} = {kind}()\n"),
        ),
        "importlinter.toml": (
            (r'(  "slices \| settings",\n)', rf'\1  "{one}",\n'),
            (r'(\ncontainers = \["posthouse\.[^\]]+")\]', rf'\1, "posthouse.{one}"]'),
            (r'(\nprotected_modules = \[[^\]]+")\]', rf'\1, "posthouse.{one}"]'),
        ),
    }
    edited: dict[str, str] = {}
    for name, replacements in changes.items():
        text = (root / name).read_text("utf-8")
        for pattern, replacement in replacements:
            text, count = re.subn(pattern, replacement, text)
            if count != 1:
                raise RefusedError(f"{name} has changed its shape: `{pattern}` is not there once.")
        edited[name] = text
    return edited


def _format(stage: Path) -> None:
    """Bring lines and imports into the house's form, which depends on how long the names are.

    Raises:
        RefusedError: ruff is missing, or cannot read what we wrote.
    """
    known = 'lint.isort.known-first-party = ["posthouse", "tests"]'
    for words in (["check", "--select", "I", "--fix", "--config", known], ["format"]):
        done = subprocess.run(  # noqa: S603  the clone's own formatter
            [sys.executable, "-m", "ruff", *words, "--quiet", "--no-cache", str(stage)],
            cwd=stage.parent,
            capture_output=True,
            text=True,
            timeout=_TOOL_S,
            check=False,
        )
        if done.returncode:
            raise RefusedError(f"ruff cannot format the slice: {done.stderr or done.stdout}", 70)


def _move_in(stage: Path, root: Path, targets: tuple[str, ...]) -> None:
    """Move what is ready to its place; take it back if something fails."""
    with ExitStack() as undo:
        for name in targets:
            target = root / name
            if name in _LISTS:
                undo.callback(target.write_text, target.read_text("utf-8"), "utf-8")
                shutil.copymode(target, stage / name)
            else:
                undo.callback(_move_away, target, stage / name)
            (stage / name).rename(target)
        undo.pop_all()


def _move_away(target: Path, stage: Path) -> None:
    if target.exists() and not stage.exists():
        target.rename(stage)
