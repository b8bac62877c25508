"""Reads the project's pages: their snippets, which run, and the code they name, which exists."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# `src/posthouse/links/codes.py::fresh`, `tests/links/test_codes.py::test_x`, or a file or folder.
_NAMED = re.compile(r"`((?:src|tests|bench|tools)/[\w./-]+?)(?:::([\w.]+))?`")


def snippets(page: Path, language: str = "python") -> list[str]:
    """The fenced blocks of a page in one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.M)
    return [text for of, text in found if of == language]


def run_snippet(text: str, folder: Path) -> None:
    """Run a snippet as a program of its own; what it says goes into the failure."""
    program = folder / "snippet.py"
    program.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def named(page: Path) -> list[tuple[str, str]]:
    """The (path, name) of all code that a page names; the name may be empty."""
    return [(path, name) for path, name in _NAMED.findall(page.read_text("utf-8"))]


def missing(page: Path) -> list[str]:
    """What a page names and the project does not have."""
    return [
        f"{path}::{name}" if name else path
        for path, name in named(page)
        if not (ROOT / path).exists() or (name and name not in definitions(path))
    ]


@cache
def definitions(path: str) -> frozenset[str]:
    """The names that a file defines: functions, classes, constants, and `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        found |= _names_of(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names_of(inner)}
    return frozenset(found)


def _names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()
