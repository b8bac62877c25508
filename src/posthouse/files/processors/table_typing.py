"""SQL that gives a table its types, and the proof for a whole file that they lose nothing."""

from collections.abc import Mapping, Sequence

from posthouse.files.processors.table_columns import (
    BIG_INTEGER,
    MISFIT,
    TEXT,
    ColumnType,
    Kind,
    alternatives,
    decimal,
    identifier,
    is_allowed,
    is_exact,
    is_quickly_proven,
)
from posthouse.files.processors.table_engine import Engine
from posthouse.files.processors.table_relation import Relation

# Columns that one query asks about: plans grow faster than tables.
_AT_ONCE = 100
_TEXTUAL = frozenset({"text", "json"})


def texts_of(types: Sequence[ColumnType]) -> list[int]:
    """Tell which columns hold text, where an empty cell is not null."""
    return [index for index, one in enumerate(types) if one.kind in _TEXTUAL]


def proving(relation: Relation, types: Sequence[ColumnType], *, empty_is_null: bool) -> str:
    """SQL for typed rows; it fails on the first cell that is not exactly of its type."""
    texts = [] if empty_is_null else texts_of(types)
    inner: list[str] = []
    outer: list[str] = []
    for index, (name, of) in enumerate(zip(relation.names, types, strict=True)):
        cell, value = f"c{index}", f"x{index}"
        inner.append(cell)
        if of.kind in _TEXTUAL:
            outer.append(f"{cell} AS {identifier(name)}")
            continue
        inner.append(f"TRY_CAST({cell} AS {of.sql}) AS {value}")
        outer.append(
            f"CASE WHEN {is_quickly_proven(cell, value, of)} OR {cell} IS NULL THEN {value} "
            f"ELSE error('{MISFIT} ' || {cell})::{of.sql} END AS {identifier(name)}"
        )
    rows = relation.rows.query(texts)
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM ({rows}))"


def trusting(
    relation: Relation, types: Sequence[ColumnType], *, empty_is_null: bool, where: str = "true"
) -> str:
    """SQL for typed rows whose types are proven already."""
    cells = ", ".join(
        f"CAST(c{index} AS {of.sql}) AS {identifier(name)}"
        for index, (name, of) in enumerate(zip(relation.names, types, strict=True))
    )
    rows = relation.rows.query([] if empty_is_null else texts_of(types))
    return f"SELECT {cells} FROM ({rows}) WHERE {where}"


def settle(
    engine: Engine, relation: Relation, first: Sequence[ColumnType], kept: Sequence[int] = ()
) -> list[ColumnType]:
    """Find for each column the first type that every cell of the file has exactly.

    Those in `kept` were asked for, and stay.
    """
    found = list(first)
    asked = [
        (index, one)
        for index, of in enumerate(first)
        if of.kind not in _TEXTUAL and index not in kept
        for one in alternatives(of)[:-1]
    ]
    rows = relation.rows.query([])
    holds: dict[tuple[int, ColumnType], bool] = {}
    for begin in range(0, len(asked), _AT_ONCE):
        part = asked[begin : begin + _AT_ONCE]
        casts = ", ".join(
            f"TRY_CAST(c{index} AS {of.sql}) AS x{number}"
            for number, (index, of) in enumerate(part)
        )
        checks = ", ".join(
            f"coalesce(bool_and(c{index} IS NULL OR coalesce("
            f"{is_exact(f'c{index}', f'x{number}', of)}, false)), true)"
            for number, (index, of) in enumerate(part)
        )
        answer = engine.rows(f"SELECT {checks} FROM (SELECT *, {casts} FROM ({rows}))")[0]
        holds |= dict(zip(part, map(bool, answer), strict=True))
    for index in {index for index, _ in asked}:
        fits = (one for one in alternatives(first[index])[:-1] if holds[index, one])
        found[index] = next(fits, TEXT)
    return found


def measured_decimal(engine: Engine, relation: Relation, index: int) -> ColumnType:
    """The decimal type with room for all digits after the point that a column has."""
    cell = f"c{index}"
    fraction = f"length(split_part({cell}, '.', 2))"
    whole = f"length(split_part(ltrim({cell}, '+-'), '.', 1))"
    scale, digits = engine.rows(
        f"SELECT coalesce(max({fraction}), 0), coalesce(max({whole}), 1) "
        f"FROM ({relation.rows.query([])}) "
        f"WHERE regexp_full_match({cell}, '[+-]?[0-9]+([.][0-9]+)?')"
    )[0]
    if scale + digits <= 18:
        return decimal(scale)
    return decimal(max(0, min(scale, 38 - digits)), 38)


def asked_types(relation: Relation, asked: Mapping[int, Kind]) -> list[ColumnType] | None:
    """The guessed types, with those that were asked for; None if a decimal has to be measured."""
    sql = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "text": "VARCHAR"}
    types = list(relation.guesses)
    for index, kind in asked.items():
        guessed = relation.guesses[index]
        if guessed.kind == kind:
            continue
        if kind == "decimal":
            if guessed.kind != "integer":
                return None
            types[index] = ColumnType("decimal", BIG_INTEGER.sql)
            continue
        types[index] = ColumnType(kind, sql.get(kind, kind.upper()))
    return types


def measured_types(
    engine: Engine, relation: Relation, asked: Mapping[int, Kind]
) -> list[ColumnType]:
    """The types that were asked for, as wide as the cells need them."""
    types = list(relation.guesses)
    for index, kind in asked.items():
        if kind == "decimal":
            types[index] = measured_decimal(engine, relation, index)
        elif kind == "integer":
            long = engine.rows(
                f"SELECT count(*) FROM ({relation.rows.query([])}) WHERE strlen(c{index}) > 18"
            )[0][0]
            types[index] = BIG_INTEGER if long else ColumnType("integer", "BIGINT")
        else:
            sql = {"number": "DOUBLE", "text": "VARCHAR"}.get(kind, kind.upper())
            types[index] = ColumnType(kind, sql)
    return types


def allowed(types: Sequence[ColumnType], asked: Sequence[int]) -> dict[int, str]:
    """For each column that a type was asked for: SQL that is true if the cell may be read so."""
    return {
        index: f"(c{index} IS NULL OR {is_allowed(f'c{index}', types[index])})" for index in asked
    }
