"""Copies a table to a file with types that lose nothing, and counts that must agree.

The plain way lets the engine read the source itself while `table_counting` counts its records.
Whatever is odd (another count, bad quotes, bytes that are no UTF-8) leads to the exact way, which
reads record by record. In both, records counted = rows written + rows rejected, or there is no
result.
"""

import sys
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.files.processors.protocol import BadInputError, Job, UnsafeInputError
from posthouse.files.processors.table_columns import ColumnType, Kind
from posthouse.files.processors.table_counting import (
    Counted,
    count,
    count_blank_lines,
    has_long_line,
)
from posthouse.files.processors.table_engine import Engine, EngineError, MisfitError
from posthouse.files.processors.table_options import ReadingOptions
from posthouse.files.processors.table_reading import TextTable, rewrite
from posthouse.files.processors.table_rejects import Rejects
from posthouse.files.processors.table_relation import MAX_QUICK_REJECTS, Relation
from posthouse.files.processors.table_typing import (
    allowed,
    asked_types,
    measured_types,
    proving,
    settle,
    trusting,
)

_REASONS = {"MISSING COLUMNS": "too-few-cells", "TOO MANY COLUMNS": "too-many-cells"}


class _OddError(Exception):
    """The file is not as plain as it looked: read it the exact way."""


def _as_is(query: str, names: Sequence[str], types: Sequence[ColumnType]) -> str:
    del names, types
    return query


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows go: a file, the engine's words for its format, and the asked types.

    `shape` wraps the query where the format needs something done to its columns.
    """

    path: Path
    how: str
    asked: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    empty_is_null: bool = False
    shape: Callable[[str, Sequence[str], Sequence[ColumnType]], str] = _as_is

    def indexes(self, relation: Relation) -> dict[int, Kind]:
        """The asked types by the number of their column.

        Raises:
            BadInputError: there is no such column.
        """
        for name in self.asked:
            if name not in relation.names:
                known = ", ".join(relation.names[:20])
                raise BadInputError(f"there is no column {name!r}; the file has: {known}")
        return {relation.names.index(name): kind for name, kind in self.asked.items()}


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: rows in = rows out + rejects."""

    relation: Relation
    types: list[ColumnType]
    rows_in: int
    rows_out: int
    rejects: int

    def require_balance(self) -> "Copied":
        """Give this if every record is accounted for.

        Raises:
            BadInputError: one is not.
        """
        if self.rows_in != self.rows_out + self.rejects:
            raise BadInputError(
                f"{self.rows_in:,} records were counted, but {self.rows_out:,} were read and "
                f"{self.rejects:,} refused; so nothing was made. Save the file as UTF-8 with "
                "quoted cells and try again"
            )
        return self


def copy_text(
    job: Job, engine: Engine, table: TextTable, target: Target, rejects: Rejects
) -> Copied:
    """Copy a delimited file.

    Raises:
        BadInputError: it cannot be read, or its records are not all accounted for.
        UnsafeInputError: a line or row is too long.
    """
    if table.may_be_plain and not has_long_line(table.path, table.long_line):
        try:
            return _copy_plainly(job, engine, table, target, rejects)
        except (_OddError, EngineError):
            rejects.forget()
            target.path.unlink(missing_ok=True)
    options: ReadingOptions = job.options
    relation = rewrite(job, table, options.encoding, rejects)
    return copy_places(job, engine, relation, target, rejects)


def _copy_plainly(
    job: Job, engine: Engine, table: TextTable, target: Target, rejects: Rejects
) -> Copied:
    """Copy while another thread counts.

    Raises:
        _OddError: the two do not agree on what the file is.
    """
    relation = table.as_it_is()
    asked = target.indexes(relation)
    types = asked_types(relation, asked)
    if types is None:
        raise _OddError
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(_count, engine, table)
        try:
            rows = _copy_typed(engine, relation, types, target, kept=tuple(asked))
        except (EngineError, MisfitError, _OddError) as error:
            if counting.exception() is not None:
                counting.result()
            raise _OddError from error
        counted = counting.result()
    job.tell(table.size, table.size, "counted and copied")
    found = _quick_rejects(engine)
    records = _records(table, counted, rows + len(found), has_rejects=bool(found))
    for line, offset, reason, raw in _located(table, counted, found):
        rejects.add(line, offset, "", reason, raw)
    return Copied(relation, types, records, rows, rejects.number)


def _count(engine: Engine, table: TextTable) -> Counted:
    """Count, and stop the engine as soon as its work cannot be used.

    Raises:
        UnsafeInputError: a line is too long.
    """
    dialect = table.dialect
    try:
        counted = count(table.path, dialect.data_offset, dialect.quote, dialect.line_end)
    except UnsafeInputError:
        engine.interrupt()
        raise
    if not counted.is_plain:
        engine.interrupt()
    return counted


def _copy_typed(
    engine: Engine,
    relation: Relation,
    types: list[ColumnType],
    target: Target,
    kept: Sequence[int],
) -> int:
    """Copy with proofs; where a proof fails, find types for the whole file and copy again."""
    _forget_rejects(engine)
    query = proving(relation, types, empty_is_null=target.empty_is_null)
    try:
        return engine.copy(target.shape(query, relation.names, types), target.path, target.how)
    except MisfitError:
        types[:] = settle(engine, relation, types, kept)
    _forget_rejects(engine)
    if kept:  # an asked type has not been proven, so its cells are checked again
        query = proving(relation, types, empty_is_null=target.empty_is_null)
    else:
        query = trusting(relation, types, empty_is_null=target.empty_is_null)
    return engine.copy(target.shape(query, relation.names, types), target.path, target.how)


def _forget_rejects(engine: Engine) -> None:
    engine.rows("DROP TABLE IF EXISTS reject_errors")
    engine.rows("DROP TABLE IF EXISTS reject_scans")


def _quick_rejects(engine: Engine) -> list[tuple[int, str]]:
    """The byte and reason of each row that the engine refused.

    Raises:
        _OddError: there are many, or one for a reason that only the exact way can tell.
    """
    found = engine.rows(
        "SELECT line_byte_position, min(error_type), count(DISTINCT error_type) "
        "FROM reject_errors GROUP BY 1 ORDER BY 1"
    )
    if len(found) > MAX_QUICK_REJECTS or any(kind not in _REASONS for _, kind, _ in found):
        raise _OddError
    return [(int(position) - 1, _REASONS[kind]) for position, kind, _ in found]


def _records(table: TextTable, counted: Counted, seen: int, *, has_rejects: bool) -> int:
    """The number of records in the file, if it agrees with what the engine has seen.

    Raises:
        _OddError: it does not.
    """
    dialect = table.dialect
    if not counted.is_plain or counted.ends_in_quotes:
        raise _OddError
    if counted.quoted_line_ends and (has_rejects or len(table.names) == 1):
        raise _OddError  # the engine's places count records, and a blank line may be a cell
    records = counted.lines
    if len(table.names) == 1 or records != seen:
        blank = count_blank_lines(table.path, dialect.data_offset, dialect.line_end)
        if counted.quoted_line_ends and blank:
            raise _OddError
        records -= blank
    if records != seen:
        raise _OddError
    return records


def _located(
    table: TextTable, counted: Counted, found: Sequence[tuple[int, str]]
) -> Iterator[tuple[int, int, str, str]]:
    """The line number and text of each row that begins at a byte; ours, not the engine's.

    Raises:
        _OddError: a row does not begin where a line does.
    """
    line, at = table.dialect.data_line, table.dialect.data_offset
    with table.path.open("rb") as file:
        file.seek(at)
        for place, reason in found:
            offset = place
            mark, ends = counted.marks[bisect(counted.marks, (offset, sys.maxsize)) - 1]
            if mark > at:
                line, at = table.dialect.data_line + ends, mark
                file.seek(at)
            while at < offset:
                block = file.read(min(1024 * 1024, offset - at))
                line += block.count(b"\n")
                at += len(block)
            raw = file.readline()
            at += len(raw)
            if raw == b"\n":  # in a file with CR LF the engine points at the LF before
                line += 1
                offset += 1
                raw = file.readline()
                at += len(raw)
            before = _byte_before(table.path, offset)
            if before not in {b"", b"\n"} or not raw.strip(b"\r\n"):
                raise _OddError
            yield line, offset, reason, raw.rstrip(b"\r\n").decode("utf-8", "replace")
            line += 1


def _byte_before(path: Path, offset: int) -> bytes:
    if not offset:
        return b""
    with path.open("rb") as file:
        file.seek(offset - 1)
        return file.read(1)


def copy_places(
    job: Job, engine: Engine, relation: Relation, target: Target, rejects: Rejects
) -> Copied:
    """Copy a table that knows the place of its rows; those that miss an asked type are rejected.

    Raises:
        BadInputError: its records are not all accounted for.
    """
    asked = target.indexes(relation)
    types = measured_types(engine, relation, asked)
    types = settle(engine, relation, types, tuple(asked))
    conditions = allowed(types, tuple(asked))
    where = " AND ".join(conditions.values()) or "true"
    query = trusting(relation, types, empty_is_null=target.empty_is_null, where=where)
    rows = engine.copy(target.shape(query, relation.names, types), target.path, target.how)
    if conditions:
        _reject_misfits(job, engine, relation, conditions, rejects)
    return Copied(relation, types, relation.counted, rows, rejects.number).require_balance()


def _reject_misfits(
    job: Job,
    engine: Engine,
    relation: Relation,
    conditions: Mapping[int, str],
    rejects: Rejects,
) -> None:
    failing = ", ".join(
        f"CASE WHEN NOT {condition} THEN {index} END" for index, condition in conditions.items()
    )
    query = (
        f"SELECT line, byte_offset, size, coalesce({failing}) AS failed "
        f"FROM ({relation.rows.query([])}) WHERE failed IS NOT NULL"
    )
    encoding = relation.facts.get("encoding", {}).get("name", "utf-8")
    with job.source.open("rb") as source:
        for page in engine.pages(query):
            for line, offset, size, index in page:
                raw = ""
                if offset is not None:
                    source.seek(offset)
                    raw = source.read(size).decode(encoding, "replace").rstrip("\r\n")
                rejects.add(line, offset, relation.names[int(index)], "wrong-type", raw)
