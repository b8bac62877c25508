"""A table as the engine reads it: a query over cells that are still text, and what we counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posthouse.files.processors.protocol import MIB
from posthouse.files.processors.table_columns import ColumnType, literal
from posthouse.files.processors.table_records import MAX_LINE

PLACES = ("line", "byte_offset", "size")
# A record of 1 MiB may grow when its quotes are doubled and its letters become UTF-8.
_LONGEST = 4 * MAX_LINE

# With more than these, a file is rewritten instead.
MAX_QUICK_REJECTS = 10_000


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A delimited file in UTF-8 that the engine can read as it is.

    With `has_places`, three columns before the cells tell where a row was in the source.
    `nulls_are_bare`: a cell that is empty and not quoted is null, and a quoted one is a text.
    """

    path: Path
    width: int
    delimiter: str = ","
    quote: str = '"'
    line_end: str = "\n"
    skipped_lines: int = 0
    has_places: bool = False
    nulls_are_bare: bool = False
    keeps_rejects: bool = False
    has_quoted_line_ends: bool = False

    def query(self, texts: Sequence[int]) -> str:
        """SQL for the cells `c0`, `c1`, …; those in `texts` are empty instead of null."""
        names = [f"c{index}" for index in range(self.width)]
        types = dict.fromkeys(names, "VARCHAR")
        if self.has_places:
            types = dict.fromkeys(PLACES, "BIGINT") | types
        end = {"\n": "\\n", "\r\n": "\\r\\n"}[self.line_end]
        settings = [
            literal(str(self.path)),
            f"columns = {{{', '.join(f'{literal(k)}: {literal(v)}' for k, v in types.items())}}}",
            "auto_detect = false",
            "header = false",
            f"delim = {literal(self.delimiter)}",
            f"quote = {literal(self.quote)}",
            f"escape = {literal(self.quote)}",
            f"new_line = '{end}'",
            f"skip = {self.skipped_lines}",
            f"max_line_size = {_LONGEST}",
            f"buffer_size = {32 * MIB}",
        ]
        if self.nulls_are_bare:
            settings.append("allow_quoted_nulls = false")
        elif texts and not self.has_places:
            settings.append(f"force_not_null = [{', '.join(literal(names[i]) for i in texts)}]")
        if self.keeps_rejects:
            settings += ["store_rejects = true", f"rejects_limit = {MAX_QUICK_REJECTS + 1}"]
        if self.has_quoted_line_ends:
            settings.append("parallel = false")
        rows = f"SELECT * FROM read_csv({', '.join(settings)})"
        if self.nulls_are_bare or not texts or not self.has_places:
            return rows
        # The engine applies force_not_null to the wrong columns if some are not asked for.
        filled = ", ".join(f"coalesce(c{index}, '') AS c{index}" for index in texts)
        return f"SELECT * REPLACE ({filled}) FROM ({rows})"


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """A Parquet file; its cells have types already, and become text only where asked for."""

    path: Path
    names: tuple[str, ...]
    types: tuple[str, ...]
    has_places: bool = True

    def query(self, texts: Sequence[int]) -> str:
        """SQL for the cells as text, with the row's number for its line."""
        del texts
        cells = ", ".join(
            f"CAST(raw{index} AS VARCHAR) AS c{index}" for index in range(len(self.names))
        )
        renamed = ", ".join(f"raw{index}" for index in range(len(self.names)))
        return (
            f"SELECT row_number() OVER () AS line, NULL::BIGINT AS byte_offset, 0 AS size, {cells} "
            f"FROM read_parquet({literal(str(self.path))}) AS file({renamed})"
        )


@dataclass(slots=True)
class Relation:
    """A table: names and guessed types of its columns, its rows, and how many there must be.

    `counted` is our own count of the records, those that were rejected among them.
    """

    names: list[str]
    guesses: list[ColumnType]
    rows: DelimitedText | ParquetRows
    counted: int = 0
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
