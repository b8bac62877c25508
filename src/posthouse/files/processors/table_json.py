"""JSON tables: an array of objects, or one object a line, as rows of text for the engine.

A first reading finds the names and what kinds of values they have, a second one writes the rows.
Numbers keep their digits: they are never read as floats.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from posthouse.files.processors.protocol import BadInputError, Job, UnsafeInputError
from posthouse.files.processors.table_columns import JSON, TEXT, ColumnType, guess, name_columns
from posthouse.files.processors.table_encoding import BLOCK, Encoding, detect
from posthouse.files.processors.table_records import MAX_COLUMNS, MAX_LINE, lines
from posthouse.files.processors.table_rejects import Rejects
from posthouse.files.processors.table_relation import DelimitedText, Relation

_GUESSED_FROM = 500
_SPACE = " \t\r\n"


class _Number(str):
    """The digits of a number."""

    __slots__ = ()


class _RepeatedError(ValueError):
    """An object has a name twice."""


class _Value(NamedTuple):
    line: int
    offset: int
    size: int
    value: Any
    reason: str = ""
    raw: str = ""


def read_json(job: Job, rejects: Rejects) -> Relation:
    """Read a JSON array or lines of JSON, and write its objects as rows for the engine.

    Raises:
        BadInputError: it is neither, or holds no object.
        UnsafeInputError: an object is larger than 1 MiB or has too many names.
    """
    with job.source.open("rb") as file:
        head = file.read(4096)
    encoding = detect(head)
    begin = head[encoding.mark_bytes :].lstrip()[:1]
    if not begin:
        raise BadInputError("the file is empty")
    is_array = begin == b"[" and not encoding.is_wide
    columns = _Columns()
    counted = 0
    for one in _values(job.source, encoding, is_array=is_array):
        counted += 1
        if not one.reason:
            columns.note(one.value, one.line)
    if counted and not columns.names:
        raise BadInputError("no line of the file is a JSON object; give one object a line")
    target = job.folder / "records.csv"
    breaks = False
    with target.open("w", encoding="utf-8", newline="") as out:
        for one in _values(job.source, encoding, is_array=is_array):
            if one.reason:
                rejects.add(one.line, one.offset, "", one.reason, one.raw)
                continue
            row = columns.row(one.value)
            breaks = breaks or "\n" in row or "\r" in row
            out.write(f"{one.line},{one.offset},{one.size},{row}\n")
    rows = DelimitedText(
        path=target,
        width=max(1, len(columns.names)),
        has_places=True,
        nulls_are_bare=True,
        has_quoted_line_ends=breaks,
    )
    names = name_columns(columns.names, max(1, len(columns.names)))
    facts = {
        "encoding": {"name": encoding.name, "confidence": encoding.confidence},
        "dialect": {"json": "array" if is_array else "lines"},
    }
    return Relation(names, columns.types(), rows, counted, facts)


class _Columns:
    """The names that objects have, in the order in which they come up, and kinds of values."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._kinds: dict[str, set[str]] = {}
        self._numbers: dict[str, list[str]] = {}

    def note(self, value: dict[str, Any], line: int) -> None:
        for name, cell in value.items():
            kinds = self._kinds.get(name)
            if kinds is None:
                kinds = self._kinds[name] = set()
                self.names.append(name)
                self._numbers[name] = []
            kind = _kind(cell)
            kinds.add(kind)
            if kind == "number" and len(self._numbers[name]) < _GUESSED_FROM:
                self._numbers[name].append(cell)
        if len(self.names) > MAX_COLUMNS:
            raise UnsafeInputError(
                f"line {line}: there are more than {MAX_COLUMNS:,} different names"
            )

    def types(self) -> list[ColumnType]:
        return [self._type(name) for name in self.names] or [TEXT]

    def _type(self, name: str) -> ColumnType:
        kinds = self._kinds[name] - {"null"}
        if kinds == {"number"}:
            return guess(self._numbers[name])
        if kinds == {"boolean"}:
            return ColumnType("boolean", "BOOLEAN")
        return JSON if "nested" in kinds else TEXT

    def row(self, value: dict[str, Any]) -> str:
        return ",".join(self._cell(name, value.get(name)) for name in self.names) or ""

    def _cell(self, name: str, cell: Any) -> str:
        """A cell for the engine: nothing for null, and in quotes everything else."""
        if cell is None:
            return ""
        if "nested" in self._kinds[name]:
            text = _dumped(cell)
        elif isinstance(cell, bool):
            text = "true" if cell else "false"
        else:
            text = cell
        return '"' + text.replace('"', '""') + '"'


def _kind(cell: Any) -> str:
    if cell is None:
        return "null"
    if isinstance(cell, bool):
        return "boolean"
    if isinstance(cell, _Number):
        return "number"
    return "text" if isinstance(cell, str) else "nested"


def _dumped(cell: Any) -> str:
    """JSON again, with the digits of numbers as they came."""
    if isinstance(cell, _Number):
        return str(cell)
    if isinstance(cell, dict):
        members = (
            f"{json.dumps(name)}:{_dumped(one)}"
            for name, one in cast("dict[str, Any]", cell).items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(cell, list):
        return "[" + ",".join(_dumped(one) for one in cast("list[Any]", cell)) + "]"
    return json.dumps(cell, ensure_ascii=False)


def _float(text: str) -> str:
    # 1e5 becomes 100000.0, a text that no one takes for a code.
    return _Number(repr(float(text)) if "e" in text.lower() else text)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _RepeatedError
    return made


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_float,
    parse_int=_Number,
    parse_constant=_no_constant,
)


def _values(path: Path, encoding: Encoding, *, is_array: bool) -> Iterator[_Value]:
    if is_array:
        return _array(path, encoding)
    return _lines(path, encoding)


def _lines(path: Path, encoding: Encoding) -> Iterator[_Value]:
    with path.open("rb") as file:
        for line in lines(file, encoding):
            raw = (line.text or "").strip(_SPACE)
            if line.text is None:
                reason, value = "invalid-encoding", None
            elif not raw:
                continue
            else:
                value, reason = _decoded(raw)
            yield _Value(line.number, line.offset, line.size, value, reason, raw)


def _decoded(raw: str) -> tuple[Any, str]:
    try:
        value = _DECODER.decode(raw)
    except _RepeatedError:
        return None, "repeated-name"
    except (ValueError, RecursionError):
        return None, "invalid-json"
    return (value, "") if _is_row(value) else (None, "not-an-object")


def _is_row(value: Any) -> bool:
    return isinstance(value, dict)


def _array(path: Path, encoding: Encoding) -> Iterator[_Value]:
    """The elements of an array, read a piece at a time.

    Raises:
        BadInputError: the array is broken; after that nothing can be read.
        UnsafeInputError: an element is larger than 1 MiB.
    """
    with path.open("r", encoding=encoding.name, newline="") as file:
        if encoding.mark_bytes:
            file.read(1)
        yield from _Array(file.read, encoding.mark_bytes).elements()


class _Array:
    """A window on the text of an array; knows the line and byte at which it begins."""

    def __init__(self, read: Any, offset: int) -> None:
        self._read = read
        self._text = ""
        self._at = 0
        self._is_ended = False
        self._line, self._offset = 1, offset

    def elements(self) -> Iterator[_Value]:
        self._expect("[")
        if self._next() == "]":
            self._step(1)
            return self._finish()
        while True:
            yield self._element()
            sign = self._next()
            self._expect(sign if sign in {",", "]"} else ",")
            if sign == "]":
                return self._finish()
            self._next()

    def _finish(self) -> None:
        if self._next():
            raise self._broken("there is text after the array")

    def _element(self) -> _Value:
        line, offset = self._line, self._offset
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                reason = "" if _is_row(value) else "not-an-object"
            except RecursionError as error:
                raise UnsafeInputError(f"line {line}: the JSON is nested too deeply") from error
            except _RepeatedError as error:
                raise self._broken("an object has a name twice") from error
            except ValueError as error:
                if self._is_ended or not self._more():
                    raise self._broken("it is not JSON") from error
                continue
            if end < len(self._text) or not self._more():
                break
        raw = self._text[self._at : end]
        size = self._step(end - self._at)
        return _Value(line, offset, size, value, reason, raw)

    def _next(self) -> str:
        """Step over white space and give the sign that follows; nothing at the end."""
        while True:
            rest = self._text[self._at : self._at + BLOCK].lstrip(_SPACE)
            space = min(len(self._text) - self._at, BLOCK) - len(rest)
            self._step(space)
            if rest or not (self._at < len(self._text) or self._more()):
                return rest[:1]

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise self._broken(f"'{sign}' is missing")
        self._step(1)

    def _step(self, length: int) -> int:
        passed = self._text[self._at : self._at + length]
        size = len(passed.encode())
        self._line += passed.count("\n")
        self._offset += size
        self._at += length
        return size

    def _more(self) -> bool:
        if len(self._text) - self._at > 2 * MAX_LINE:
            raise UnsafeInputError(f"line {self._line}: an element is larger than 1 MiB")
        try:
            piece = self._read(BLOCK)
        except UnicodeError as error:
            raise self._broken("it is not UTF-8") from error
        self._is_ended = not piece
        self._text = self._text[self._at :] + piece
        self._at = 0
        return bool(piece)

    def _broken(self, what: str) -> BadInputError:
        shown = self._text[self._at : self._at + 40]
        return BadInputError(
            f"line {self._line}, byte {self._offset}: {what}; it goes on with {shown!r}"
        )
