"""How a delimited text is written: its delimiter, quote, header, and lines before the table."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from posthouse.files.processors.table_columns import guess_cell
from posthouse.files.processors.table_records import MAX_COLUMNS, Line, Record, records

DELIMITERS = (",", ";", "\t", "|")
MAX_PREAMBLE = 30
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_MEASURED = 500
_CLEAN = re.compile(r"[^,;\t|]*|-?\d{1,3}(?:\.\d{3})*,\d+|-?\d{1,3}(?:,\d{3})*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender says about the dialect; None is for us to find out."""

    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    preamble_lines: int | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect. The first record of the data is in line `data_line`, from 1, at `data_offset`."""

    delimiter: str
    quote: str
    has_header: bool
    preamble_lines: int
    line_end: str
    header: tuple[str, ...]
    width: int
    data_line: int
    data_offset: int

    def as_facts(self) -> dict[str, object]:
        """The dialect as JSON."""
        return {
            "delimiter": self.delimiter,
            "quote": self.quote,
            "header": self.has_header,
            "preamble_lines": self.preamble_lines,
            "line_end": {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}[self.line_end],
        }


def sniff(sample: Sequence[Line], wishes: Wishes, likely: str = "") -> tuple[Dialect, list[Record]]:
    """Find the dialect of a file that begins with `sample`; gives the first data as well.

    `likely` is the delimiter that the media type names.

    Raises:
        BadInputError: there is no record.
        UnsafeInputError: a row has more than 4,096 cells.
    """
    text_lines = [line for line in sample if (line.text or "").strip("\r\n")]
    if not text_lines:
        raise BadInputError("the file is empty: it has no line with text")
    named = _SEPARATOR_LINE.fullmatch(text_lines[0].text or "")
    skipped = text_lines[0].number if named else 0
    quote = _quote(text_lines) if wishes.quote is None else wishes.quote
    delimiter = wishes.delimiter or (named.group(1) if named else "")
    body = sample[wishes.preamble_lines or skipped :]
    if not delimiter:
        delimiter = _delimiter(body, quote, likely)
    found = list(records(body[: _MEASURED * 4], delimiter, quote))
    _check_widths(found)
    begin = 0 if wishes.preamble_lines is not None or named else _preamble(found)
    found = found[begin:]
    if not found:
        raise BadInputError("the file has no row after the lines that were left out")
    has_header = _has_header(found) if wishes.header is None else wishes.header
    header = found[0].cells if has_header else []
    width = len(header) if header else _usual_width(found)
    data = found[1:] if has_header else found
    if has_header and not header:
        raise BadInputError(f"line {found[0].line}, the header, cannot be read: {found[0].reason}")
    last = found[0]
    return Dialect(
        delimiter=delimiter,
        quote=quote,
        has_header=has_header,
        preamble_lines=found[0].line - 1,
        line_end=_line_end(sample),
        header=tuple(header),
        width=width,
        data_line=last.line + _lines_of(last) if has_header else last.line,
        data_offset=last.offset + last.size if has_header else last.offset,
    ), data


def _lines_of(record: Record) -> int:
    return len(re.findall(r"\r\n|\r|\n", record.text)) + 1


def _line_end(sample: Sequence[Line]) -> str:
    text = sample[0].text or ""
    return "\r\n" if text.endswith("\r\n") else "\r" if text.endswith("\r") else "\n"


def _quote(sample: Sequence[Line]) -> str:
    """The apostrophe, if cells are wrapped in it and none in the usual quote."""
    text = "".join(line.text or "" for line in sample[:_MEASURED])
    wrapped = r"(?:^|[,;\t|]){0}[^{0}\r\n]*{0}(?=[,;\t|\r\n]|$)"
    usual = len(re.findall(wrapped.format('"'), text, re.MULTILINE))
    other = len(re.findall(wrapped.format("'"), text, re.MULTILINE))
    return "'" if other >= 2 and not usual else '"'


def _delimiter(sample: Sequence[Line], quote: str, likely: str) -> str:
    """The delimiter whose rows are of one width, and whose cells hold none of the others."""
    scores = {one: _score(sample, one, quote) for one in DELIMITERS}
    best = max(DELIMITERS, key=lambda one: (scores[one], one == likely))
    return best if scores[best] > 0 else likely or ","


def _score(sample: Sequence[Line], delimiter: str, quote: str) -> float:
    found = [one for one in records(sample[:_MEASURED], delimiter, quote) if one.cells]
    if not found:
        return 0
    width, rows = Counter(len(one.cells) for one in found).most_common(1)[0]
    if width < 2:
        return 0
    cells = [cell for one in found if len(one.cells) == width for cell in one.cells[:50]]
    clean = sum(1 for cell in cells if len(cell) > 200 or _CLEAN.fullmatch(cell)) / len(cells)
    return rows / len(found) * clean


def _check_widths(found: Sequence[Record]) -> None:
    for one in found:
        if len(one.cells) > MAX_COLUMNS:
            raise UnsafeInputError(
                f"line {one.line} has {len(one.cells):,} cells; {MAX_COLUMNS:,} are allowed"
            )


def _usual_width(found: Sequence[Record]) -> int:
    widths = Counter(len(one.cells) for one in found[:_MEASURED] if one.cells)
    if not widths:
        raise BadInputError(f"line {found[0].line} cannot be read: {found[0].reason}")
    return max(widths, key=lambda width: (widths[width], width))


def _preamble(found: Sequence[Record]) -> int:
    """How many records at the beginning are remarks: at most one cell, or none like a row.

    A row that is short but has cells is left in the table, where it is reported.
    """
    width = _usual_width(found)
    if width < 2:
        return 0
    for begin, one in enumerate(found[:MAX_PREAMBLE]):
        filled = sum(1 for cell in one.cells if cell.strip())
        if filled > 1 or (width == 2 and len(one.cells) == 2) or begin + 1 == len(found):
            return begin
    return 0


def _has_header(found: Sequence[Record]) -> bool:
    """Whether the first record names columns: text above what is not text, or all of it text."""
    first = [guess_cell(cell) for cell in found[0].cells]
    if not first:
        return False
    below = [one.cells for one in found[1:101] if len(one.cells) == len(first)]
    for index, kind in enumerate(first):
        kinds = {guess_cell(cells[index]) for cells in below} - {""}
        if kind == "text" and kinds and "text" not in kinds:
            return True
    return all(kind in {"text", ""} for kind in first)
