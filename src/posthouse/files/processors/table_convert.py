"""`table.convert`: a table in one format becomes the same table in another, row for row."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from posthouse.files.processors import table_opening
from posthouse.files.processors.protocol import (
    MIB,
    Job,
    Output,
    Processor,
    Promised,
    StepLimits,
)
from posthouse.files.processors.table_columns import ColumnType, identifier
from posthouse.files.processors.table_copying import Target
from posthouse.files.processors.table_engine import engines, running
from posthouse.files.processors.table_options import TAKES, ReadingOptions
from posthouse.files.processors.table_rejects import Rejects

Format = Literal["parquet", "csv", "tsv", "json", "ndjson"]
AskedKind = Literal["text", "integer", "decimal", "number", "boolean", "date", "timestamp"]
LIMITS = StepLimits(memory_bytes=2048 * MIB, cpu_s=300, wall_s=600.0, written_bytes=8192 * MIB)
MEDIA_TYPES: Mapping[Format, str] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
_HOW: Mapping[Format, str] = {
    "parquet": "FORMAT parquet, COMPRESSION snappy, WRITE_BLOOM_FILTER false",
    "csv": "FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"'",
    "tsv": "FORMAT csv, HEADER true, DELIMITER '\t', QUOTE '\"', ESCAPE '\"'",
    "json": "FORMAT json, ARRAY true",
    "ndjson": "FORMAT json",
}
# OWASP, CSV injection: what a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_SQL = "'=', '+', '-', '@', chr(9), chr(13)"


class ConvertOptions(ReadingOptions):
    """What to make of the table."""

    to: Format = Field(description="The format to make.")
    types: dict[Annotated[str, Field(max_length=200)], AskedKind] = Field(
        default_factory=dict[str, AskedKind],
        max_length=500,
        description="Types of columns by name; rows that do not have them are rejected.",
    )
    escape_formulas: bool = Field(
        False, description="Put ' before text that a spreadsheet would run (csv and tsv)."
    )
    empty_as_null: bool = Field(
        False, description="Read empty cells of text columns as null instead of as empty text."
    )


def convert(job: Job) -> list[Output]:
    """Convert the table; rows that cannot be read go to `rejects`.

    Raises:
        BadInputError: it is no table, or its rows are not all accounted for.
        UnsafeInputError: its lines or rows are too long.
    """
    options: ConvertOptions = job.options
    escapes = options.escape_formulas and options.to in {"csv", "tsv"}
    target = Target(
        path=job.folder / f"table.{options.to}",
        how=_HOW[options.to],
        asked=options.types,
        empty_is_null=options.empty_as_null,
        shape=_escaped if escapes else _plain_text if options.to in {"csv", "tsv"} else _as_it_is,
    )
    rejects = Rejects(job.folder, escapes_formulas=escapes)
    with running(job.source, job.folder, job.memory_bytes) as engine:
        copied = table_opening.copy(job, engine, target, rejects)
    facts: dict[str, Any] = {
        "rows_in": copied.rows_in,
        "rows_out": copied.rows_out,
        "rejects": copied.rejects,
        "columns": [
            {"name": name, "type": of.kind}
            for name, of in zip(copied.relation.names, copied.types, strict=True)
        ],
        **copied.relation.facts,
    }
    main = Output(target.path, MEDIA_TYPES[options.to], options.to, facts=facts)
    return [main, *rejects.outputs()]


def _as_it_is(query: str, names: Sequence[str], types: Sequence[ColumnType]) -> str:
    del names, types
    return query


def _plain_text(query: str, names: Sequence[str], types: Sequence[ColumnType]) -> str:
    """Rows for a text format: what is nested is written as JSON."""
    return _escaped(query, names, types, escapes=False)


def _escaped(
    query: str, names: Sequence[str], types: Sequence[ColumnType], *, escapes: bool = True
) -> str:
    """Rows whose texts no spreadsheet takes for formulas, and whose names neither."""
    cells: list[str] = []
    for name, of in zip(names, types, strict=True):
        column = identifier(name)
        shown = identifier("'" + name) if escapes and name.startswith(_FORMULA) else column
        text = f"CAST({column} AS VARCHAR)" if of.kind == "json" else column
        if escapes and of.kind in {"text", "json"}:
            text = (
                f"CASE WHEN left({text}, 1) IN ({_FORMULA_SQL}) THEN '''' || {text} ELSE {text} END"
            )
        cells.append(f"{text} AS {shown}")
    return f"SELECT {', '.join(cells)} FROM ({query})"


def _promise(options: ConvertOptions, media_type: str) -> list[Promised]:
    made = [Promised("", MEDIA_TYPES[options.to], options.to)]
    if media_type != MEDIA_TYPES["parquet"]:
        made.append(Promised("rejects", "text/csv", "csv", is_certain=False))
    return made


PROCESSOR = Processor(
    name="table.convert",
    summary="Converts a table to Parquet, CSV, TSV, JSON or NDJSON and reports rows it cannot read",
    version=1,
    options=ConvertOptions,
    takes=TAKES,
    run=convert,
    promise=_promise,
    engines=engines,
    limits=LIMITS,
    preload=("duckdb",),
)
