"""Typst templates: those that come with Posthouse, and the folder in which one is compiled."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse.files.processors.protocol import BadInputError

FONTS = Path(__file__).parent / "fonts"
MAIN, DATA = "main.typ", "data.json"
_TEMPLATES = Path(__file__).parent / "templates"
_IMPORTED = re.compile(r"""\b(?:import|include)\s*\(?\s*"(@[^"]{1,100})""")
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Template:
    """Typst text, and the JSON Schema that its data has to follow."""

    source: str
    schema: Mapping[str, Any] | bool = True


def built_in(name: str) -> Template:
    """One that comes with Posthouse: its text and its schema."""
    folder = _TEMPLATES / name
    schema = json.loads((folder / "schema.json").read_text("utf-8"))
    return Template((folder / "template.typ").read_text("utf-8"), schema)


def example(name: str) -> Path:
    """Data that shows all of a built-in template."""
    return _TEMPLATES / name / "example.json"


def refuse_packages(source: str) -> None:
    """Go on if the template imports no package; one that hides it fails at the network.

    Raises:
        BadInputError: it imports one.
    """
    found = _IMPORTED.search(source)
    if found:
        raise BadInputError(
            f"The template imports the package {found[1]}; packages are not available. "
            "Copy what you need of it into the template."
        )


def materialise(folder: Path, source: str, data: bytes) -> Path:
    """Put template and data into a fresh folder, and give it.

    Typst follows links out of its root, so the root has to hold regular files of ours alone.
    """
    root = Path(tempfile.mkdtemp(prefix="root-", dir=folder))
    for name, content in ((MAIN, source.encode()), (DATA, data)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(root / name, flags, 0o600), "wb") as file:
            file.write(content)
    return root


def explained(message: str, diagnostic: str, hints: list[str], root: Path) -> str:
    """Typst's message in few words, with the line and without our paths."""
    text = message.replace(str(root), "")
    for prefix in ("assertion failed: ", "panicked with: "):
        text = text.removeprefix(prefix)
    place = re.search(rf"{re.escape(MAIN)}:(\d+):\d+", diagnostic)
    if place:
        text = f"line {place[1]}: {text}"
    if hints:
        text = f"{text} ({hints[0]})"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
