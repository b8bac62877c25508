"""Rows out of an uploaded table: JSON array, NDJSON or CSV, read piece by piece.

Runs in a child of the sandbox, so a file that is hostile or huge costs that child alone. Each row
is checked against the model that it is meant for; memory holds a row and a batch, not the file.
Sources: RFC 8259 (JSON), the NDJSON specification 1.0.0, RFC 4180 (CSV).
"""

import codecs
import csv
import importlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from posthouse.kernel import strictjson
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.problems import input_error
from posthouse.kernel.zygote import Channel

MAX_ROW = 1_048_576
_BATCH = 500
_BLANK = b" \t\r\n"
_DELIMITERS = ",;\t"
_LIST = "|"
_WHOLE = re.compile(r"-?\d{1,19}")
# What decides where a row of a JSON array ends; all between is passed over at once.
_MARK = re.compile(rb'["\\\[\]{},]')


class UnreadableError(Exception):
    """The file itself cannot be read from here on: `code` and words for the caller."""

    def __init__(self, code: str, message: str) -> None:
        """Say what is wrong with the file."""
        super().__init__(message)
        self.code = code


def check(channel: Channel) -> dict[str, Any]:
    """Read the pieces that follow, send batches, and give how many rows there were.

    The first message is `{"form": "json" | "ndjson" | "csv", "model": "module:Name"}`. A batch is
    `{"read": bytes, "rows": [[number, row], …], "problems": [[number, field, code, message], …]}`;
    rows are counted from 1, and 0 is the file as a whole.
    """
    asked = json.loads(channel.receive() or b"{}")
    module, _, name = asked["model"].partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), name)
    pieces = _Pieces(channel)
    batch = _Batch(channel, pieces)
    try:
        for number, row in enumerate(READERS[asked["form"]](pieces, model), 1):
            batch.rows_read = number
            if isinstance(row, UnreadableError):
                batch.refuse(number, "", row.code, str(row))
            else:
                _check_row(batch, number, row, model)
    except UnreadableError as error:
        batch.refuse(0, "", error.code, str(error))
    batch.flush()
    return {"rows": batch.rows_read}


def _check_row(batch: "_Batch", number: int, row: Any, model: type[BaseModel]) -> None:
    try:
        batch.add(number, model.model_validate(row).model_dump(mode="json"))
    except ValidationError as error:
        for problem in input_error(error.errors()).fields:
            batch.refuse(number, problem.field, problem.code, problem.message)


class _Pieces:
    """The pieces of the file as they arrive, and how many bytes that was."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._channel.receive()) is not None:
            self.read += len(piece)
            yield piece


class _Batch:
    """Rows and problems that are sent together."""

    def __init__(self, channel: Channel, pieces: _Pieces) -> None:
        self._channel = channel
        self._pieces = pieces
        self._rows: list[tuple[int, Any]] = []
        self._problems: list[tuple[int, str, str, str]] = []
        self.rows_read = 0

    def add(self, number: int, row: Any) -> None:
        self._rows.append((number, row))
        self._flush_if_full()

    def refuse(self, number: int, field: str, code: str, message: str) -> None:
        self._problems.append((number, field, code, message))
        self._flush_if_full()

    def _flush_if_full(self) -> None:
        if len(self._rows) + len(self._problems) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        told = {"read": self._pieces.read, "rows": self._rows, "problems": self._problems}
        self._channel.send(json.dumps(told).encode())
        self._rows, self._problems = [], []


Row = Any  # a JSON value, or the UnreadableError of this row alone


def read_ndjson(pieces: Iterable[bytes], model: type[BaseModel]) -> Iterator[Row]:
    """Give the value of each line that is not blank.

    Raises:
        UnreadableError: a line is longer than a MiB.
    """
    del model
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (_value(line) for line in lines if line.strip(_BLANK))
        _require_size(rest)
    if rest.strip(_BLANK):
        yield _value(rest)


def read_json(pieces: Iterable[bytes], model: type[BaseModel]) -> Iterator[Row]:
    """Give the values of an array.

    Raises:
        UnreadableError: it is no array, ends too early or goes on after its end, or a value is
            larger than a MiB.
    """
    del model
    splitter = _Splitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    splitter.end()


class _Splitter:
    """Cuts a JSON array into the texts of its values, without reading them."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._piece = b""
        self._start = 0
        self._depth = 0
        self._in_text = False
        self._is_escaped = False
        self._has_ended = False
        self._wants_value = False

    def feed(self, piece: bytes) -> Iterator[Row]:
        self._piece, self._start = piece, 0
        position = 1 if self._is_escaped else 0
        self._is_escaped = False
        while (found := _MARK.search(piece, position)) is not None:
            position, mark = found.end(), found.group()
            if self._in_text:
                position = self._within_text(mark, position)
            elif mark == b'"':
                self._in_text = True
            else:
                yield from self._structure(mark, found.start(), position)
        self._held += piece[self._start :]
        _require_size(self._held)
        if self._depth == 0 and self._held.strip(_BLANK + codecs.BOM_UTF8):
            raise UnreadableError("malformed-json", "The file is not one JSON array")

    def _within_text(self, mark: bytes, position: int) -> int:
        if mark == b'"':
            self._in_text = False
        elif mark == b"\\":
            self._is_escaped = position == len(self._piece)
            return position + 1
        return position

    def _structure(self, mark: bytes, at: int, behind: int) -> Iterator[Row]:
        if mark in b"[{":
            if self._depth == 0:
                self._open(self._take(at, behind), mark)
            self._depth += 1
        elif mark in b"]}":
            self._depth -= 1
            if self._depth == 0:
                self._has_ended = True
                yield from self._value(self._take(at, behind), is_last=True)
            elif self._depth < 0:
                raise UnreadableError("malformed-json", "A bracket closes what was not opened")
        elif mark == b"," and self._depth == 1:
            yield from self._value(self._take(at, behind), is_last=False)

    def _take(self, until: int, start: int) -> bytes:
        """Give what lies before `until`, and go on at `start`."""
        taken = bytes(self._held + self._piece[self._start : until])
        self._held.clear()
        self._start = start
        return taken

    def _open(self, before: bytes, mark: bytes) -> None:
        text = before.removeprefix(codecs.BOM_UTF8)
        if mark != b"[" or text.strip(_BLANK) or self._has_ended:
            raise UnreadableError("malformed-json", "The file is not one JSON array")

    def _value(self, value: bytes, *, is_last: bool) -> Iterator[Row]:
        if value.strip(_BLANK):
            yield _value(value)
        elif not is_last or self._wants_value:
            yield UnreadableError("malformed-json", "There is no value here")
        self._wants_value = not is_last

    def end(self) -> None:
        """Make sure that the array was closed.

        Raises:
            UnreadableError: it was not.
        """
        if not self._has_ended:
            raise UnreadableError("malformed-json", "The array does not end")


def _value(text: bytes) -> Row:
    try:
        return strictjson.parse(text)
    except PosthouseError as error:
        return UnreadableError(error.code, error.detail or error.title)


def _require_size(row: bytes | bytearray) -> None:
    if len(row) > MAX_ROW:
        raise UnreadableError("row-too-large", "A row has more than a MiB")


def read_csv(pieces: Iterable[bytes], model: type[BaseModel]) -> Iterator[Row]:
    """Give each record as an object by the names of the header; an empty cell is absent.

    The delimiter is the comma, semicolon or tab that the header has most of. Whole numbers and
    true or false are read as such where the model wants them, a list is `a|b`.

    Raises:
        UnreadableError: it is not UTF-8, or its header or its quoting cannot be read.
    """
    lines = _lines(pieces)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    csv.field_size_limit(MAX_ROW)
    reader = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    types = _types(model)
    header: list[str] = []
    try:
        for record in reader:
            if not record:
                continue
            if not header:
                header = _header(record, types)
            elif len(record) > len(header):
                yield UnreadableError("too-many-cells", "The row has more cells than the header")
            else:
                cells = zip(header, record, strict=False)
                yield {name: _cell(text, types[name]) for name, text in cells if text != ""}
    except csv.Error as error:
        raise UnreadableError("malformed-csv", str(error)) from error
    if not header:
        raise UnreadableError("header-missing", "The file has no header")


def _header(record: list[str], types: dict[str, str]) -> list[str]:
    header = [name.strip() for name in record]
    unknown = sorted(set(header) - set(types))
    if unknown or len(set(header)) < len(header):
        words = f"Known columns, each once: {', '.join(types)}"
        raise UnreadableError("header-invalid", words)
    return header


def _types(model: type[BaseModel]) -> dict[str, str]:
    """What JSON type each field wants, as far as a cell has to be read for it."""
    properties = model.model_json_schema()["properties"]
    return {name: _type(schema) for name, schema in properties.items()}


def _type(schema: dict[str, Any]) -> str:
    kinds = [one.get("type") for one in (schema, *schema.get("anyOf", ()))]
    return next((kind for kind in ("integer", "boolean", "array") if kind in kinds), "string")


def _cell(text: str, kind: str) -> Any:
    if kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "boolean" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if kind == "array":
        return [part.strip() for part in text.split(_LIST)]
    return text


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    try:
        for piece in pieces:
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            yield from (f"{line}\n" for line in lines)
            if len(rest) > MAX_ROW:
                raise UnreadableError("row-too-large", "A row has more than a MiB")
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise UnreadableError("not-utf8", "The file is not UTF-8; save it as such") from error
    if rest:
        yield rest


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from others


READERS = {"json": read_json, "ndjson": read_ndjson, "csv": read_csv}
