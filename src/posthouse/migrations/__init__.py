"""The schema's history: one Alembic line that ships in the wheel."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parent


def table_modules() -> list[ModuleType]:
    """The `tables.py` of the kernel and of every slice; importing them fills the metadata."""
    found = sorted(path.parent.name for path in FOLDER.parent.glob("*/tables.py"))
    return [import_module(f"posthouse.{name}.tables") for name in found]


def revisions() -> dict[str, str | None]:
    """Each revision and the one it follows, read from the files without running them."""
    found: dict[str, str | None] = {}
    for path in (FOLDER / "versions").glob("*.py"):
        names: dict[str, str | None] = {}
        for line in path.read_text("utf-8").splitlines():
            name, equals, value = line.partition(" = ")
            if equals and name in {"revision", "down_revision"}:
                names[name] = value.strip("\"'") if value != "None" else None
        revision = names.get("revision")
        if revision is not None:
            found[revision] = names.get("down_revision")
    return found


def head() -> str:
    """The revision that this version of the program needs: the one that nothing follows."""
    known = revisions()
    (newest,) = set(known) - set(known.values())
    return newest


def is_ours(thing: Any, name: str | None, kind: str, is_reflected: bool, other: Any) -> bool:
    """Leave the queue's own tables and the daily partitions of clicks to their keepers."""
    del thing, is_reflected, other
    kept_elsewhere = (name or "").startswith(("pgqueuer", "clicks_", "alembic"))
    return not (kind == "table" and kept_elsewhere)
