"""The schema that a table is held against, and its checks as SQL over cells of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from posthouse.files.processors.protocol import BadInputError, StepOptions
from posthouse.files.processors.table_columns import ColumnType, is_allowed, literal
from posthouse.files.processors.table_engine import Engine, EngineError
from posthouse.files.processors.table_options import ReadingOptions
from posthouse.files.processors.table_relation import Relation

_SQL = {
    "text": "VARCHAR",
    "integer": "DECIMAL(38,0)",
    "decimal": "DECIMAL(38,12)",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_MEASURED = frozenset({"integer", "decimal", "number", "date", "timestamp"})
Bound = int | float | Annotated[str, Field(max_length=100)]
Cell = Annotated[str, Field(max_length=1000)]


class ColumnSchema(StepOptions):
    """What the cells of one column must be. An empty cell is only held against `required`."""

    name: str = Field(min_length=1, max_length=200, description="The name in the header.")
    type: Literal["text", "integer", "decimal", "number", "boolean", "date", "timestamp"] = Field(
        "text", description="What every cell must be."
    )
    required: bool = Field(False, description="Whether a cell must not be empty.")
    unique: bool = Field(False, description="Whether no two cells may be equal.")
    min: Bound | None = Field(None, description="The least value; a date is written as text.")
    max: Bound | None = Field(None, description="The greatest value.")
    min_length: int | None = Field(None, ge=0, le=1_000_000, description="The least characters.")
    max_length: int | None = Field(None, ge=0, le=1_000_000, description="The most characters.")
    pattern: str | None = Field(
        None, max_length=500, description="A pattern for the whole cell, in the syntax of RE2."
    )
    one_of: list[Cell] | None = Field(
        None, min_length=1, max_length=1000, description="All values that a cell may have."
    )

    @model_validator(mode="after")
    def _has_fitting_bounds(self) -> "ColumnSchema":
        bounds = [bound for bound in (self.min, self.max) if bound is not None]
        if bounds and self.type not in _MEASURED:
            raise ValueError("min and max are for numbers and dates; text has min_length")
        for bound in bounds:
            if self.type in {"date", "timestamp"} and not isinstance(bound, str):
                raise ValueError("a bound of a date is text, as 2026-01-31")
            if self.type in {"integer", "decimal", "number"} and not _is_number(bound):
                raise ValueError("a bound of a number is a number")
        return self


def _is_number(bound: Bound) -> bool:
    try:
        return Decimal(str(bound)).is_finite()
    except ArithmeticError:
        return False


class ValidateOptions(ReadingOptions):
    """The schema of the table."""

    columns: list[ColumnSchema] = Field(
        min_length=1, max_length=500, description="The columns that the table must have."
    )
    extra_columns: Literal["refuse", "allow"] = Field(
        "refuse", description="What to do if the table has columns that are not named here."
    )

    @model_validator(mode="after")
    def _names_columns_once(self) -> "ValidateOptions":
        if len({one.name for one in self.columns}) < len(self.columns):
            raise ValueError("a column is named twice")
        return self


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: SQL that is true for a cell that breaks it, and what to tell its sender."""

    index: int
    column: str
    code: str
    hint: str
    breaks: str


def checks(engine: Engine, relation: Relation, schema: Sequence[ColumnSchema]) -> list[Check]:
    """Give the rules of a schema for the columns of a table, in the order of the table.

    Raises:
        BadInputError: a pattern or bound cannot be used.
    """
    found: list[Check] = []
    for one in sorted(schema, key=lambda one: relation.names.index(one.name)):
        index = relation.names.index(one.name)
        _require_sound(engine, one)
        found += [
            Check(index, one.name, code, hint, breaks)
            for code, hint, breaks in _rules(one, f"c{index}", index)
        ]
    return found


def _rules(one: ColumnSchema, cell: str, index: int) -> list[tuple[str, str, str]]:
    of = ColumnType(one.type, _SQL[one.type])
    value = f"TRY_CAST({cell} AS {of.sql})"
    rules = [
        (one.required, "required", "the cell must not be empty", f"{cell} IS NULL"),
        (one.type != "text", "type", f"it must be {_article(one.type)}",
         f"{cell} IS NOT NULL AND NOT {is_allowed(cell, of)}"),
        (one.min is not None, "min", f"at least {one.min}", f"{value} < {_bound(one.min, of)}"),
        (one.max is not None, "max", f"at most {one.max}", f"{value} > {_bound(one.max, of)}"),
        (one.min_length is not None, "min-length", f"at least {one.min_length} characters",
         f"length({cell}) < {one.min_length}"),
        (one.max_length is not None, "max-length", f"at most {one.max_length} characters",
         f"length({cell}) > {one.max_length}"),
        (one.pattern is not None, "pattern", f"it must match {one.pattern}",
         f"NOT regexp_full_match({cell}, {literal(one.pattern or '')})"),
        (one.one_of is not None, "one-of", f"one of {', '.join((one.one_of or [])[:10])}",
         f"{cell} NOT IN ({', '.join(map(literal, one.one_of or ['']))})"),
        (one.unique, "unique", "an earlier row has the same value",
         f"first{index}.first IS NOT NULL AND first{index}.first <> line"),
    ]  # fmt: skip
    return [(code, hint, f"coalesce({breaks}, false)") for on, code, hint, breaks in rules if on]


def _article(kind: str) -> str:
    return {
        "integer": "an integer",
        "decimal": "a decimal number, as 12.50",
        "number": "a number",
        "boolean": "true or false",
        "date": "a date, as 2026-01-31",
        "timestamp": "a time, as 2026-01-31 12:30:00",
    }.get(kind, kind)


def _bound(bound: Bound | None, of: ColumnType) -> str:
    return f"CAST({literal(str(bound))} AS {of.sql})"


def _require_sound(engine: Engine, one: ColumnSchema) -> None:
    """Refuse what the engine cannot use, before it reads the table.

    Raises:
        BadInputError: a pattern is not RE2, or a bound is no value of the type.
    """
    try:
        if one.pattern is not None:
            engine.rows(f"SELECT regexp_full_match('', {literal(one.pattern)})")
        for bound in (one.min, one.max):
            if bound is not None:
                engine.rows(f"SELECT {_bound(bound, ColumnType(one.type, _SQL[one.type]))}")
    except EngineError as error:
        raise BadInputError(f"the schema of column {one.name!r} cannot be used: {error}") from error


def firsts(relation: Relation, schema: Sequence[ColumnSchema]) -> str:
    """SQL that joins, for each unique column, the first line of every value that comes twice."""
    joined = ""
    for one in schema:
        if one.unique:
            index = relation.names.index(one.name)
            joined += (
                f" LEFT JOIN (SELECT c{index} AS value, min(line) AS first FROM cells "
                f"WHERE c{index} IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AS first{index} "
                f"ON first{index}.value = cells.c{index}"
            )
    return joined
