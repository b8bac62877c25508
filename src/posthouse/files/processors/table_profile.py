"""`table.profile`: what is in a table, column by column, as one JSON document."""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from posthouse.files.processors import table_opening
from posthouse.files.processors.protocol import Job, Output, Processor, Promised
from posthouse.files.processors.table_columns import ColumnType, identifier, literal
from posthouse.files.processors.table_convert import LIMITS
from posthouse.files.processors.table_copying import Copied, Target
from posthouse.files.processors.table_engine import Engine, engines, running
from posthouse.files.processors.table_options import TAKES, ReadingOptions
from posthouse.files.processors.table_rejects import Rejects

_AT_ONCE = 50
_SAMPLES = 5
_SAMPLE_LENGTH = 100
_ORDERED = frozenset({"integer", "decimal", "number", "date", "timestamp"})
_NUMERIC = frozenset({"integer", "decimal", "number"})


class ProfileOptions(ReadingOptions):
    """How to read the table that is profiled."""


def profile(job: Job) -> list[Output]:
    """Profile the table.

    Raises:
        BadInputError: it is no table, or its rows are not all accounted for.
        UnsafeInputError: its lines or rows are too long.
    """
    typed = job.folder / "typed.parquet"
    target = Target(typed, "FORMAT parquet, COMPRESSION snappy", empty_is_null=True)
    rejects = Rejects(job.folder)
    with running(job.source, job.folder, job.memory_bytes) as engine:
        copied = table_opening.copy(job, engine, target, rejects)
        job.tell(1, 2, "measuring columns")
        columns = list(_columns(engine, typed, copied))
    rejects.close()
    report: dict[str, Any] = {
        **copied.relation.facts,
        "rows": copied.rows_out,
        "rejects": copied.rejects,
        "columns": columns,
    }
    path = job.folder / "profile.json"
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1), "utf-8")
    facts = {"rows": copied.rows_out, "rejects": copied.rejects, "columns": len(columns)}
    return [Output(path, "application/json", "json", facts=facts)]


def _columns(engine: Engine, typed: Path, copied: Copied) -> Iterator[dict[str, Any]]:
    names = copied.relation.names
    for begin in range(0, len(names), _AT_ONCE):
        part = list(zip(names, copied.types, strict=True))[begin : begin + _AT_ONCE]
        yield from _measured(engine, typed, part, copied.rows_out)


def _measured(
    engine: Engine, typed: Path, part: Sequence[tuple[str, ColumnType]], rows: int
) -> Iterator[dict[str, Any]]:
    """The facts of some columns; one query for all of their figures, one for samples."""
    source = f"read_parquet({literal(str(typed))})"
    asked = [_figures(name, of) for name, of in part]
    selected = ", ".join(sql for figures in asked for sql in figures.values())
    answer = iter(engine.rows(f"SELECT {selected} FROM {source}")[0])
    shown = ", ".join(
        f"CAST({identifier(name)} AS VARCHAR) AS s{number}" for number, (name, _) in enumerate(part)
    )
    samples = engine.rows(f"SELECT {shown} FROM {source} LIMIT 200")
    for number, ((name, of), figures) in enumerate(zip(part, asked, strict=True)):
        found = {key: _as_json(next(answer)) for key in figures}
        filled = found.pop("filled") or 0
        flags = [flag for flag in ("leading_zeros", "looks_like_formula") if found.pop(flag, None)]
        seen = dict.fromkeys(row[number][:_SAMPLE_LENGTH] for row in samples if row[number])
        yield {
            "name": name,
            "type": of.kind,
            "nulls": rows - filled,
            **found,
            "distinct": min(found["distinct"] or 0, filled),
            "samples": list(seen)[:_SAMPLES],
            "flags": flags,
        }


def _figures(name: str, of: ColumnType) -> dict[str, str]:
    """What is asked about a column: SQL by the name of the figure."""
    column = identifier(name)
    if of.kind in _ORDERED:
        figures = {
            "filled": f"count({column})",
            "distinct": f"approx_count_distinct({column})",
            "min": f"min({column})",
            "max": f"max({column})",
        }
        if of.kind in _NUMERIC:
            number = f"{column}::DOUBLE"
            figures["mean"] = f"avg({number})"
            figures["quantiles"] = f"approx_quantile({number}, [0.25, 0.5, 0.75])"
        return figures
    text = f"CAST({column} AS VARCHAR)"
    return {
        "filled": f"count(*) FILTER ({text} <> '')",
        "distinct": f"approx_count_distinct({text}) FILTER ({text} <> '')",
        "max_length": f"max(length({text}))",
        "leading_zeros": _any(f"{text} >= '00' AND {text} < '0:'"),
        "looks_like_formula": _any(f"left({text}, 1) IN ('=', '+', '-', '@', chr(9), chr(13))"),
    }


def _any(condition: str) -> str:
    return f"coalesce(bool_or({condition}), false)"


def _as_json(value: Any) -> Any:
    """A figure as JSON; numbers that JSON readers would round are texts."""
    if isinstance(value, list):
        return [_as_json(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= 2**53 else str(value)
    if isinstance(value, Decimal | date | datetime):
        return str(value)
    return value


def _promise(options: ProfileOptions, media_type: str) -> list[Promised]:
    del options, media_type
    return [Promised("", "application/json", "json")]


PROCESSOR = Processor(
    name="table.profile",
    summary="Tells the encoding, dialect, types and statistics of a table",
    version=1,
    options=ProfileOptions,
    takes=TAKES,
    run=profile,
    promise=_promise,
    engines=engines,
    limits=LIMITS,
    preload=("duckdb",),
)
