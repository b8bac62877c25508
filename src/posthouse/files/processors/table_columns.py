"""What is in a column: its name, its type, and how the engine proves that nothing gets lost.

A type is guessed from the first rows and then proven for the whole file: a cell is of the type
only if its text says no more than the value does. So `01234`, `+49 30` and `1e5` stay text, and
integers are never floats.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "decimal", "number", "boolean", "date", "timestamp", "json"]
MISFIT = "posthouse-misfit"
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.([0-9]+)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-][0-9]{1,3}|-?[0-9]\.[0-9]+[eE][0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
)
_BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
_BOOLEAN_LIST = ", ".join(f"'{word}'" for word in _BOOLEANS)
_INT64_DIGITS, _DECIMAL_DIGITS = 18, 38
_FLOAT_PATTERN = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-][0-9]{1,3})?"


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type: our name for it, and the engine's."""

    kind: Kind
    sql: str


TEXT = ColumnType("text", "VARCHAR")
JSON = ColumnType("json", "JSON")
INTEGER = ColumnType("integer", "BIGINT")
BIG_INTEGER = ColumnType("integer", "DECIMAL(38,0)")
NUMBER = ColumnType("number", "DOUBLE")
BOOLEAN = ColumnType("boolean", "BOOLEAN")
DATE = ColumnType("date", "DATE")
TIMESTAMP = ColumnType("timestamp", "TIMESTAMP")


def decimal(scale: int, digits: int = 18) -> ColumnType:
    """An exact decimal number with `scale` digits after the point."""
    return ColumnType("decimal", f"DECIMAL({digits},{scale})")


def guess_cell(cell: str) -> Kind | Literal[""]:  # noqa: PLR0911  one for each kind
    """Tell what one cell looks like; nothing for an empty one."""
    if not cell:
        return ""
    if _INTEGER.fullmatch(cell):
        return "integer"
    if _FRACTION.fullmatch(cell):
        return "decimal"
    if _FLOAT.fullmatch(cell):
        return "number"
    if cell in _BOOLEANS:
        return "boolean"
    if _DATE.fullmatch(cell):
        return "date"
    return "timestamp" if _TIMESTAMP.fullmatch(cell) else "text"


def guess(cells: Iterable[str]) -> ColumnType:
    """Tell the type of a column that begins with `cells`."""
    filled = [cell for cell in cells if cell]
    kinds = {guess_cell(cell) for cell in filled}
    if kinds == {"integer"}:
        digits = max(len(cell.lstrip("-")) for cell in filled)
        if digits <= _INT64_DIGITS:
            return INTEGER
        return BIG_INTEGER if digits <= _DECIMAL_DIGITS else TEXT
    if kinds == {"decimal"}:
        return _guess_decimal(filled)
    if kinds and kinds <= {"integer", "decimal", "number"}:
        return NUMBER
    single: dict[str, ColumnType] = {"boolean": BOOLEAN, "date": DATE, "timestamp": TIMESTAMP}
    return single.get(kinds.pop(), TEXT) if len(kinds) == 1 else TEXT


def _guess_decimal(cells: Sequence[str]) -> ColumnType:
    """A decimal if all cells have as many digits after the point, as prices have; else a number."""
    scales = {len(cell.partition(".")[2]) for cell in cells}
    digits = max(len(cell.lstrip("-")) - 1 for cell in cells)
    if len(scales) == 1 and digits <= 15:
        return decimal(scales.pop())
    if digits > 17:
        return decimal(max(scales), 38) if len(scales) == 1 and digits <= 38 else NUMBER
    return NUMBER


def alternatives(first: ColumnType) -> tuple[ColumnType, ...]:
    """The types to fall back to, in turn, where a later row is not of the first; text at last."""
    if first.sql == "BIGINT":
        return (INTEGER, BIG_INTEGER, NUMBER, TEXT)
    if first.kind == "decimal":
        return (first, NUMBER, TEXT)
    return (TEXT,) if first == TEXT else (first, TEXT)


def name_columns(header: Sequence[str], width: int) -> list[str]:
    """Give every column a name of its own: `column_3` for an empty one, `price_2` for a second.

    Names that differ only by case are the same to the engine, so they count as repeated.
    """
    taken: set[str] = set()
    names: list[str] = []
    for index in range(width):
        given = header[index] if index < len(header) and header[index].strip() else ""
        given = given or f"column_{index + 1}"
        name, number = given, 1
        while name.lower() in taken:
            number += 1
            name = f"{given}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def is_exact(cell: str, value: str, of: ColumnType) -> str:
    """SQL that is true if `cell`, a text, is `value`, its cast to the type, and nothing more."""
    if of.kind == "number":
        return (
            f"(regexp_full_match({cell}, '{_FLOAT_PATTERN}') AND NOT isinf({value}) AND "
            f"({_fits_a_double(cell)} OR {value}::VARCHAR = {cell}))"
        )
    return _proof(cell, value, of)


def is_quickly_proven(cell: str, value: str, of: ColumnType) -> str:
    """SQL as of `is_exact`, but cheap: it may miss odd ways to write a number."""
    if of.kind != "number":
        return _proof(cell, value, of)
    begins = (
        f"{cell} >= '1' AND {cell} < ':' OR {cell} >= '0.' AND {cell} < '0/' OR "
        f"{cell} >= '-1' AND {cell} < '-:' OR {cell} >= '-0.' AND {cell} < '-0/' OR {cell} = '0'"
    )
    # An underscore between digits is nothing to the engine.
    plain = f"NOT contains({cell}, '_') AND NOT isinf({value})"
    return f"(({begins}) AND {_fits_a_double(cell)} AND {plain})"


def _fits_a_double(cell: str) -> str:
    """A double holds 15 digits of any number, and 17 of those that were printed from one."""
    fraction = f"strlen({cell}) <= 18 OR {cell} >= '0.' AND {cell} < '0/' AND strlen({cell}) <= 24"
    return f"(strlen({cell}) <= 15 OR contains({cell}, '.') AND ({fraction}))"


def _proof(cell: str, value: str, of: ColumnType) -> str:
    if of.kind == "boolean":
        return f"({cell} IN ({_BOOLEAN_LIST}))"
    if of.kind == "date":
        return f"(strlen({cell}) = 10 AND {value} IS NOT NULL)"
    if of.kind == "timestamp":
        # The engine prints no zeros at the end of a fraction.
        return f"(rtrim(replace({cell}, 'T', ' '), '0.') = rtrim({value}::VARCHAR, '0.'))"
    return f"({value}::VARCHAR = {cell})"


def is_allowed(cell: str, of: ColumnType) -> str:
    """SQL that is true if a text may be read as a type that its owner asked for.

    Here `007` is the integer 7, because someone said that it is one.
    """
    if of.kind in {"text", "json"}:
        return "true"
    patterns: dict[str, str] = {
        "integer": r"[+-]?[0-9]+",
        "decimal": r"[+-]?[0-9]+(\.[0-9]+)?",
        "number": r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?",
        "boolean": r"(?i)true|false",
        "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?",
    }
    checks = [
        f"regexp_full_match({cell}, {literal(patterns[of.kind])})",
        f"TRY_CAST({cell} AS {of.sql}) IS NOT NULL",
    ]
    if of.kind == "number":
        checks.append(f"NOT isinf(TRY_CAST({cell} AS DOUBLE))")
    if of.kind == "decimal":
        scale = of.sql.rpartition(",")[2].rstrip(")")
        checks.append(f"strlen(split_part({cell}, '.', 2)) <= {scale}")
    return f"coalesce({' AND '.join(checks)}, false)"
