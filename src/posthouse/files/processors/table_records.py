"""The slow and exact reader of delimited text: one record at a time, with its place in the file.

A record that cannot be read costs its first line only: reading goes on with the next line, so an
unclosed quote never swallows the rows after it. Two habits of the fast reader (DuckDB) are kept,
so that both read a file alike: one space between a delimiter and a quote is dropped, and so are
spaces between a closing quote and a delimiter.
"""

import codecs
from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from posthouse.files.processors.table_encoding import BLOCK, Encoding

MAX_LINE = 1024 * 1024
MAX_COLUMNS = 4096
_OPEN, _DONE, _BAD = 1, 2, 3


class Line(NamedTuple):
    """A line of the file, with its end; the text is None if it is not in the encoding."""

    number: int
    offset: int
    size: int
    text: str | None


class Record(NamedTuple):
    """A record, or the line that is none: then `reason` says why and `cells` is empty.

    `line` counts the file's lines from 1; `offset` and `size` are bytes of the file.
    """

    line: int
    offset: int
    size: int
    text: str
    cells: list[str]
    reason: str = ""


def lines(file: BinaryIO, encoding: Encoding) -> Iterator[Line]:
    """Read a file line by line; LF, CR LF and CR end a line.

    Raises:
        UnsafeInputError: a line is longer than 1 MiB.
        BadInputError: it is not the UTF-16 or UTF-32 that its beginning promises.
    """
    offset = encoding.mark_bytes
    for number, raw in enumerate(_raw_lines(file, encoding), 1):
        if len(raw) > MAX_LINE:
            raise UnsafeInputError(too_long(number))
        if encoding.is_wide:
            text: str | None = raw.decode()
            size = len(raw.decode().encode(encoding.name))
        else:
            text, size = _decoded(raw, encoding.name), len(raw)
        yield Line(number, offset, size, text)
        offset += size


def too_long(number: int) -> str:
    """Say that a line is too long to be read."""
    return f"line {number} is longer than {MAX_LINE:,} bytes; is it a table, with line ends?"


def _raw_lines(file: BinaryIO, encoding: Encoding) -> Iterator[bytes]:
    """The lines as bytes, those of UTF-16 and UTF-32 as bytes of UTF-8.

    Raises:
        UnsafeInputError: one is too long.
    """
    number, rest = 0, b""
    for block in _blocks(file, encoding):
        found = (rest + block).splitlines(keepends=True)
        # A CR at the end may be half of a CR LF.
        rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
        if len(rest) > MAX_LINE and not rest.endswith(b"\r"):
            raise UnsafeInputError(too_long(number + len(found) + 1))
        number += len(found)
        yield from found
    if rest:
        yield rest


def _blocks(file: BinaryIO, encoding: Encoding) -> Iterator[bytes]:
    file.seek(encoding.mark_bytes)
    if not encoding.is_wide:
        while block := file.read(BLOCK):
            yield block
        return
    decoder = codecs.getincrementaldecoder(encoding.name)("strict")
    try:
        while block := file.read(BLOCK):
            yield decoder.decode(block).encode()
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise BadInputError(
            f"the file is not all {encoding.name}: {error.args[-1]}; save it as UTF-8"
        ) from error


def _decoded(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        return None


def records(found: Iterable[Line], delimiter: str, quote: str) -> Iterator[Record]:
    """Read records from lines; blank lines outside of quotes are none."""
    upcoming, waiting = iter(found), deque[Line]()
    while (line := waiting.popleft() if waiting else next(upcoming, None)) is not None:
        text = line.text
        if text is None:
            yield _refused(line, "invalid-encoding")
            continue
        if "\0" in text:
            yield _refused(line, "nul-byte")
            continue
        if not quote or quote not in text:
            if bare := text.rstrip("\r\n"):
                yield Record(line.number, line.offset, line.size, bare, bare.split(delimiter))
            continue
        taken = [line]
        splitter = _Splitter(delimiter, quote)
        state = splitter.feed(text)
        size = line.size
        while state == _OPEN and size <= MAX_LINE:
            more = waiting.popleft() if waiting else next(upcoming, None)
            if more is None:
                break
            taken.append(more)
            size += more.size
            state = _BAD if more.text is None or "\0" in more.text else splitter.feed(more.text)
        if state == _DONE and size <= MAX_LINE:
            whole = "".join(part.text or "" for part in taken).rstrip("\r\n")
            yield Record(line.number, line.offset, size, whole, splitter.cells)
            continue
        yield _refused(line, "bad-quote" if state == _BAD else "unclosed-quote")
        waiting.extendleft(reversed(taken[1:]))


def _refused(line: Line, reason: str) -> Record:
    return Record(line.number, line.offset, line.size, (line.text or "").rstrip("\r\n"), [], reason)


class _Splitter:
    """Splits a record that has quotes, fed line by line while a quote is open."""

    def __init__(self, delimiter: str, quote: str) -> None:
        self.cells: list[str] = []
        self._delimiter = delimiter
        self._quote = quote
        self._skipped = "" if delimiter == " " else " "
        self._parts: list[str] | None = None

    def feed(self, text: str) -> int:
        """Take a line with its end; tell whether the record is done, open or bad."""
        end = len(text.rstrip("\r\n"))
        at = 0
        if self._parts is not None:
            at, state = self._quoted(text, 0, end)
            if state:
                return state
        while True:
            opening = at + 1 if self._skipped and text.startswith(" " + self._quote, at) else at
            if text.startswith(self._quote, opening):
                self._parts = []
                at, state = self._quoted(text, opening + 1, end)
                if state:
                    return state
                continue
            next_at = text.find(self._delimiter, at, end)
            if next_at < 0:
                self.cells.append(text[at:end])
                return _DONE
            self.cells.append(text[at:next_at])
            at = next_at + 1

    def _quoted(self, text: str, begin: int, end: int) -> tuple[int, int]:
        """Read on inside of quotes; give where the next cell begins, or how the line ended."""
        quote, parts = self._quote, self._parts
        assert parts is not None  # noqa: S101  for the type checker: the caller has opened it
        at = begin
        while True:
            at = text.find(quote, at)
            if at < 0:
                parts.append(text[begin:])
                return end, _OPEN
            if not text.startswith(quote, at + 1):
                break
            at += 2
        parts.append(text[begin:at])
        self.cells.append("".join(parts).replace(quote * 2, quote))
        self._parts = None
        at += 1
        while self._skipped and text.startswith(" ", at):
            at += 1
        if at >= end:
            return end, _DONE
        return (at + 1, 0) if text[at] == self._delimiter else (at, _BAD)
