"""Which schema revision this version of the code expects, read without importing the migrations."""

import re
from pathlib import Path

import posthouse

VERSIONS = Path(posthouse.__file__).parent / "migrations" / "versions"
REVISION = re.compile(r"""^revision(?:\s*:[^=]+)?\s*=\s*["']([^"']+)["']""", re.MULTILINE)
PARENTS = re.compile(r"^down_revision(?:\s*:[^=]+)?\s*=\s*(.+)$", re.MULTILINE)
QUOTED = re.compile(r"""["']([^"']+)["']""")


def known_revisions(versions: Path = VERSIONS) -> dict[str, list[str]]:
    """Every revision in the folder, with those that it builds upon."""
    found: dict[str, list[str]] = {}
    for path in versions.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if revision := REVISION.search(text):
            parents = PARENTS.search(text)
            found[revision[1]] = QUOTED.findall(parents[1]) if parents else []
    return found


def head(versions: Path = VERSIONS) -> str | None:
    """The one revision that no other builds upon; None if there is none, or more than one."""
    known = known_revisions(versions)
    built_upon = {parent for parents in known.values() for parent in parents}
    heads = [revision for revision in known if revision not in built_upon]
    return heads[0] if len(heads) == 1 else None
