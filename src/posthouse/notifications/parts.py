"""The parts of a message, one by one: which there are, and what may stand in them."""

import re
from collections.abc import Mapping
from typing import Any

from posthouse.kernel.errors import FieldProblem
from posthouse.notifications.dataschema import SHOWN
from posthouse.notifications.engine import Engine, has_code
from posthouse.notifications.errors import TemplateInvalidError
from posthouse.notifications.grammar import SourceError
from posthouse.notifications.model import Channel, Json

Sources = Mapping[str, str]

RESERVED = frozenset({"recipient", "links", "unsubscribe_url", "preferences_url"})
"""Names that sending fills in; nobody has to give them."""

PARTS: Mapping[Channel, frozenset[str]] = {
    Channel.EMAIL: frozenset({"subject", "mjml", "html", "text"}),
    Channel.SMS: frozenset({"text"}),
    Channel.PUSH: frozenset({"title", "body", "url"}),
}
NEEDED: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject",),
    Channel.SMS: ("text",),
    Channel.PUSH: ("title", "body"),
}
LINES = frozenset({"subject", "title", "url"})
"""What is one line."""

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_MAX_WRITTEN = 128 * 1024
_UNQUOTED = re.compile(r"<[a-zA-Z][^<>]*\s[a-zA-Z-]{1,40}=\{[{%]")

# They keep nothing between two templates but their budget.
_PLAIN, _HTML = Engine(is_html=False), Engine(is_html=True)


class Problems:
    """What is wrong with a template, gathered until it is told."""

    def __init__(self, root: str = "") -> None:
        """Begin without any; `root` stands before the path of each."""
        self._root = root
        self._found: list[FieldProblem] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def add(self, path: tuple[str, ...], code: str, message: str) -> None:
        """Note one more."""
        field = ".".join(filter(None, (self._root, *path)))
        self._found.append(FieldProblem(field, code, message))

    def source(self, path: tuple[str, ...], error: SourceError) -> None:
        """Note what is wrong with the source of a part."""
        where = f"line {error.line}: " if error.line else ""
        self.add(path, "template-invalid", f"{where}{error}")

    def end(self) -> None:
        """Go on if there are none.

        Raises:
            TemplateInvalidError: there are; `fields` are the first twenty.
        """
        if self._found:
            raise TemplateInvalidError(fields=self._found[:SHOWN])


def are_parts(problems: Problems, path: tuple[str, ...], channel: Channel, given: Json) -> bool:
    """Whether these are the parts of a channel."""
    before = len(problems)
    for name in given.keys() - PARTS[channel]:
        problems.add((*path, name), "unknown-field", f"not a part of {channel}")
    for name in NEEDED[channel]:
        if name not in given:
            problems.add((*path, name), "missing", "it is needed")
    if channel is Channel.EMAIL:
        if not given.keys() & {"mjml", "html", "text"}:
            problems.add((*path, "text"), "missing", "give mjml, html or text")
        if {"mjml", "html"} <= given.keys():
            problems.add((*path, "html"), "invalid", "give either mjml or html")
    for name, value in given.items():
        require_text(problems, (*path, name), name, value)
    return len(problems) == before


def require_text(problems: Problems, path: tuple[str, ...], name: str, value: Any) -> None:
    """Note what is wrong with a part as a text."""
    if not isinstance(value, str) or not value.strip():
        problems.add(path, "invalid", "it is no text, or empty")
    elif len(value) > _MAX_WRITTEN:
        problems.add(path, "too-long", "it has more than 128 KiB")
    elif "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        problems.add(path, "invalid-character", "it holds a NUL or a lone surrogate")
    elif name in LINES and CONTROL.search(value):
        problems.add(path, "newline", "it must be one line")


def read_all(problems: Problems, path: tuple[str, ...], parts: Json) -> bool:
    """Whether all parts are templates; each that is not is noted."""
    read = [read_part(problems, (*path, name), name, source) for name, source in parts.items()]
    return all(read)


def read_part(problems: Problems, path: tuple[str, ...], name: str, source: str) -> bool:
    """Whether a part is a template; if not, it is noted with its line."""
    engine = _HTML if name in {"html", "mjml"} else _PLAIN
    try:
        if has_code(source):
            engine.read(source)
    except SourceError as error:
        problems.source(path, error)
        return False
    if name == "html" and (found := _UNQUOTED.search(source)):
        line = source[: found.end()].count("\n") + 1
        words = "put quotes around the value of this attribute"
        problems.source(path, SourceError(words, line))
        return False
    return True


def needs_of(problems: Problems, path: tuple[str, ...], parts: Sources) -> tuple[str, ...]:
    """The names that the data must have; what became of the parts must be templates still."""
    names: set[str] = set()
    for name, source in parts.items():
        if has_code(source):
            engine = _HTML if name == "html" else _PLAIN
            try:
                names |= engine.read(source)[1]
            except SourceError as error:
                problems.source((*path, name), error)
    return tuple(sorted(names - RESERVED))
