"""From a delimited file to a table for the engine: as it is where it is plain, else rewritten.

Rewriting reads record by record (`table_records`), rejects what is none, and writes the others
as UTF-8 of one dialect, each with its place in the source.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from posthouse.files.processors.protocol import BadInputError, Job, UnsafeInputError
from posthouse.files.processors.table_columns import ColumnType, guess, name_columns
from posthouse.files.processors.table_dialect import Dialect, Wishes, sniff
from posthouse.files.processors.table_encoding import Encoding, EncodingName, detect, examine
from posthouse.files.processors.table_records import (
    MAX_COLUMNS,
    MAX_LINE,
    Line,
    Record,
    lines,
    records,
)
from posthouse.files.processors.table_rejects import Rejects
from posthouse.files.processors.table_relation import DelimitedText, Relation

_SAMPLE = 256 * 1024
_TOLD_EVERY = 50_000
# The engine takes a time that is quadratic in the cells that a row has too many.
_LONG = 16 * 1024


@dataclass(frozen=True, slots=True)
class TextTable:
    """A delimited file that was looked at: how it is written, and what its columns may be."""

    path: Path
    size: int
    encoding: Encoding
    dialect: Dialect
    names: list[str]
    guesses: list[ColumnType]
    longest: int

    @property
    def may_be_plain(self) -> bool:
        """Whether the engine may read the file itself; `table_counting` has to agree."""
        dialect = self.dialect
        return (
            self.encoding.name == "utf-8"
            and dialect.line_end != "\r"
            and (dialect.data_offset > 0 or not self.encoding.mark_bytes)
            and not any("\n" in name or "\r" in name for name in dialect.header)
            and dialect.delimiter != " "
            and dialect.quote in {'"', "'", ""}
        )

    @property
    def long_line(self) -> int:
        """A line longer than this is unlike those that were looked at."""
        return max(_LONG, 4 * self.longest)

    def facts(self) -> dict[str, object]:
        """Tell the encoding and dialect as JSON."""
        return {
            "encoding": {"name": self.encoding.name, "confidence": self.encoding.confidence},
            "dialect": self.dialect.as_facts(),
        }

    def as_it_is(self) -> Relation:
        """Give the file itself as a table, whose records are not counted yet."""
        rows = DelimitedText(
            path=self.path,
            width=len(self.names),
            delimiter=self.dialect.delimiter,
            quote=self.dialect.quote,
            line_end=self.dialect.line_end,
            skipped_lines=self.dialect.data_line - 1,
            keeps_rejects=True,
        )
        return Relation(list(self.names), list(self.guesses), rows, facts=self.facts())


def look(job: Job, given: EncodingName | None, wishes: Wishes) -> TextTable:
    """Find out how a file is written.

    Raises:
        BadInputError: it is no text, or has no record.
        UnsafeInputError: its lines or rows are too long.
    """
    size = job.source.stat().st_size
    with job.source.open("rb") as file:
        head = file.read(_SAMPLE)
        if size > len(head) and not {10, 13} & set(head):
            head += file.read(MAX_LINE)
    encoding = detect(head, given)
    _require_text(head, encoding)
    sample = _sample(head, encoding, is_whole=size <= len(head))
    if any(line.text is None for line in sample) and given is None:
        encoding = examine(job.source)
        sample = _sample(head, encoding, is_whole=size <= len(head))
    likely = "\t" if job.media_type == "text/tab-separated-values" else ""
    dialect, first = sniff(sample, wishes, likely)
    width = dialect.width
    # What will be a reject has no say in the types.
    cells = [one.cells for one in first if len(one.cells) >= width and not any(one.cells[width:])]
    guesses = [guess(row[index] for row in cells) for index in range(width)]
    names = name_columns(dialect.header, dialect.width)
    longest = max(line.size for line in sample)
    return TextTable(job.source, size, encoding, dialect, names, guesses, longest)


def _sample(head: bytes, encoding: Encoding, *, is_whole: bool) -> list[Line]:
    if not is_whole:
        head = head[: len(head) // 4 * 4]
    try:
        found = list(lines(io.BytesIO(head), encoding))
    except BadInputError:
        if is_whole or not encoding.is_wide:
            raise
        found = list(lines(io.BytesIO(head[:-2]), encoding))  # it ended between two surrogates
    if not is_whole and len(found) > 1:
        found.pop()
    return found


def _require_text(head: bytes, encoding: Encoding) -> None:
    """Refuse what is no text at all.

    Raises:
        BadInputError: more than one byte in twenty is a control character.
    """
    if encoding.is_wide:
        return
    controls = sum(head.count(code) for code in range(32) if code not in b"\t\n\r\x1a\x0c\x0b\x1b")
    if controls * 20 > len(head):
        raise BadInputError("the file is not text; a table is CSV, TSV, JSON or Parquet")


def rewrite(job: Job, table: TextTable, given: EncodingName | None, rejects: Rejects) -> Relation:
    """Read a file record by record and write its sound ones for the engine.

    Raises:
        BadInputError: it is no text.
        UnsafeInputError: a line or row is too long.
    """
    encoding = table.encoding
    if given is None and encoding.name == "utf-8":
        seen = examine(job.source)
        encoding = Encoding(seen.name, seen.confidence, encoding.mark_bytes)
    table = replace(table, encoding=encoding)
    target = job.folder / "records.csv"
    writer = _Writer(job, table, rejects)
    with job.source.open("rb") as file, target.open("w", encoding="utf-8", newline="") as out:
        for block in writer.blocks(file):
            out.write(block)
    rows = DelimitedText(
        path=target,
        width=len(table.names),
        delimiter=table.dialect.delimiter,
        has_places=True,
        has_quoted_line_ends=writer.has_quoted_line_ends,
    )
    return Relation(table.names, list(table.guesses), rows, writer.counted, table.facts())


class _Writer:
    """Turns the records of a source into lines for the engine, and counts them."""

    def __init__(self, job: Job, table: TextTable, rejects: Rejects) -> None:
        self.counted = 0
        self.has_quoted_line_ends = False
        self._job = job
        self._table = table
        self._rejects = rejects

    def blocks(self, file: BinaryIO) -> Iterator[str]:
        dialect, width = self._table.dialect, len(self._table.names)
        found = lines(file, self._table.encoding)
        data = (line for line in found if line.number >= dialect.data_line)
        is_same = dialect.quote == '"' or not dialect.quote
        written: list[str] = []
        for record in records(data, dialect.delimiter, dialect.quote):
            self.counted += 1
            if self.counted % _TOLD_EVERY == 0:
                self._job.tell(record.offset, self._table.size, "reading rows")
                yield "".join(written)
                written.clear()
            reason = record.reason or self._misses(record, width)
            if reason:
                self._rejects.add(record.line, record.offset, "", reason, record.text)
                continue
            is_bare = is_same and '"' not in record.text and len(record.cells) == width
            cells = record.text if is_bare else self._quoted(record.cells[:width])
            self.has_quoted_line_ends |= "\n" in cells or "\r" in cells
            written.append(f"{dialect.delimiter.join(_place(record))}{dialect.delimiter}{cells}\n")
        yield "".join(written)

    def _misses(self, record: Record, width: int) -> str:
        """Say why a record is no row of the table; cells too many do not matter if empty.

        Raises:
            UnsafeInputError: it has too many cells by far.
        """
        if len(record.cells) > MAX_COLUMNS:
            raise UnsafeInputError(
                f"line {record.line} has {len(record.cells):,} cells; {MAX_COLUMNS:,} are allowed"
            )
        if len(record.cells) < width:
            return "too-few-cells"
        return "too-many-cells" if any(record.cells[width:]) else ""

    def _quoted(self, cells: list[str]) -> str:
        return self._table.dialect.delimiter.join(
            '"' + cell.replace('"', '""') + '"' if cell else "" for cell in cells
        )


def _place(record: Record) -> tuple[str, str, str]:
    return str(record.line), str(record.offset), str(record.size)
