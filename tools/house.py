"""House rules that the linters lack; `python -m tools.house` prints what breaks them.

Rooms are a closed list: a module of a slice is a room, an engine that is named here, or pure.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "posthouse"

SLICES = sorted(
    path.parent.name for path in SOURCE.glob("*/manifest.py") if path.parent.name != "kernel"
)
ROOMS = frozenset(
    {
        "__init__", "manifest", "api", "pages", "commands", "jobs", "public", "service", "store",
        "model", "tables", "schemas", "errors", "settings",
    }
)  # fmt: skip
# Modules of a slice that keep collaborators or do I/O, beside its rooms.
ENGINES = {
    "tasks": frozenset(
        {"endings", "imports", "importing", "runner", "running", "schedules", "watching"}
    ),
    "accounts": frozenset(
        {
            "attempts", "authentication", "importing", "keyring", "profiles", "recent", "sessions",
            "tokens",
        }
    ),
    "links": frozenset(
        {
            "countries", "hosts", "ingest", "previews", "recorder", "redirect", "reports",
            "resolver", "spool", "unlocking",
        }
    ),
    "files": frozenset(
        {
            "alone", "appending", "bodies", "cookbook", "cooking", "intake", "processing",
            "processors", "resuming", "serving", "store", "sweeping", "tus", "uploading",
        }
    ),
    "notifications": frozenset(
        {
            "channels", "composing", "consenting", "explaining", "fanningout", "importing", "lanes",
            "people", "planning", "preparing", "providing", "receiving", "screens", "sending",
            "switchboard", "texting",
        }
    ),
    "catalog": frozenset(
        {"imaging", "importing", "pricelist", "repricing", "searching", "waiting"}
    ),
}  # fmt: skip
IO_MODULES = (
    "asyncpg", "redis", "httpx", "httpcore", "socket", "subprocess", "posthouse.kernel.db",
    "posthouse.kernel.cache", "posthouse.kernel.outbound", "posthouse.kernel.clock", "fastapi",
    "starlette",
)  # fmt: skip
NAMELESS = frozenset({"utils", "helpers", "common", "manager", "base", "misc"})
MAX_LINES = 600
# The only places that may start a task that outlives a call.
TASK_STARTERS = frozenset({"kernel/supervise.py", "embedded/supervisor.py"})
# Endpoints that may return a Response instead of a model.
RESPONSE_ENDPOINTS = frozenset(
    {("links/api.py", "qr"), ("tasks/api.py", "report"), ("tasks/api.py", "watch")}
)
_HOSTS = re.compile(
    r"files\.pythonhosted|pypi\.org/simple|registry\.npmjs|--(?:extra-)?index-url[ =]http"
)
_SHARED = "../" + "shared"


def findings() -> Iterator[str]:
    """Everything that breaks a rule, as `path:line: what`."""
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE).as_posix()
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        if text.count("\n") > MAX_LINES:
            yield f"{relative}:1: more than {MAX_LINES} lines; split it by noun"
        if path.stem in NAMELESS:
            yield f"{relative}:1: `{path.stem}` says nothing; name what is in it"
        for line, what in (*_transactions(relative, tree), *_tasks(relative, tree)):
            yield f"{relative}:{line}: {what}"
        if not relative.startswith("migrations/"):
            yield from (f"{relative}:{line}: {what}" for line, what in _docstrings(tree))
        if path.name == "api.py":
            yield from (f"{relative}:{line}: {what}" for line, what in _responses(relative, tree))
    yield from _rooms()
    yield from _committed_files()


def _rooms() -> Iterator[str]:
    for name in SLICES:
        for path in sorted((SOURCE / name).iterdir()):
            stem = path.stem
            if path.suffix not in {".py", ""} or stem in {"__pycache__", "templates"}:
                continue
            if stem in ROOMS or stem in ENGINES.get(name, ()):
                continue
            for line, module in _imports(ast.parse(path.read_text("utf-8"))):
                if module.startswith(IO_MODULES):
                    yield (
                        f"{name}/{path.name}:{line}: a pure module imports {module}; make it "
                        "pure or name it in ENGINES"
                    )


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def _transactions(relative: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    if relative == "kernel/db.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "transaction":
                yield node.lineno, "only kernel/db.py opens transactions; use db.begin()"
            if node.func.attr in {"commit", "rollback"} and not relative.startswith("operate/"):
                yield node.lineno, "only kernel/db.py commits"


def _tasks(relative: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    if relative in TASK_STARTERS:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        is_asyncio = isinstance(owner, ast.Name) and owner.id == "asyncio"
        if is_asyncio and node.func.attr in {"gather", "create_task", "ensure_future"}:
            yield node.lineno, f"no asyncio.{node.func.attr}; use a TaskGroup or supervise()"


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    if tree.body and not ast.get_docstring(tree):
        yield 1, "the module does not say why it exists"
    yield from _missing(tree)


def _missing(scope: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_override = any("override" in ast.unparse(one) for one in node.decorator_list)
        if not node.name.startswith("_") and not is_override and not ast.get_docstring(node):
            yield node.lineno, f"{node.name} has no docstring"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _missing(node)


def _responses(relative: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        if not isinstance(node, ast.AsyncFunctionDef):
            continue
        returned = ast.unparse(node.returns) if node.returns else ""
        if "Response" in returned and (relative, node.name) not in RESPONSE_ENDPOINTS:
            yield node.lineno, f"{node.name} returns a Response, which no model checks"


def _committed_files() -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  git of the developer
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".txt", ".toml", ".json", ".yaml", ".sh", ""}:
            try:
                text = path.read_text("utf-8")
            except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
                continue
            if _HOSTS.search(text) and name != "tools/house.py":
                yield f"{name}:1: names the host of a package registry"
            if _SHARED in text:
                yield f"{name}:1: speaks of a folder that is not part of the project"


def main() -> int:
    """Print what breaks the rules; 1 if there is anything."""
    found = list(findings())
    for line in found:
        sys.stdout.write(line + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
