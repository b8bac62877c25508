"""Opens a table of any format by its media type: the one place that knows all formats."""

from typing import cast

from posthouse.files.processors.protocol import BadInputError, Job
from posthouse.files.processors.table_columns import (
    BIG_INTEGER,
    BOOLEAN,
    DATE,
    INTEGER,
    JSON,
    NUMBER,
    TEXT,
    TIMESTAMP,
    ColumnType,
    literal,
    name_columns,
)
from posthouse.files.processors.table_copying import Copied, Target, copy_places, copy_text
from posthouse.files.processors.table_engine import Engine
from posthouse.files.processors.table_json import read_json
from posthouse.files.processors.table_options import ReadingOptions
from posthouse.files.processors.table_parquet import count_rows, require_width
from posthouse.files.processors.table_reading import look, rewrite
from posthouse.files.processors.table_rejects import Rejects
from posthouse.files.processors.table_relation import ParquetRows, Relation

PARQUET = "application/vnd.apache.parquet"
_JSON = frozenset({"application/json", "application/x-ndjson"})
_BY_SQL = {
    "BIGINT": INTEGER,
    "INTEGER": INTEGER,
    "SMALLINT": INTEGER,
    "TINYINT": INTEGER,
    "UTINYINT": INTEGER,
    "USMALLINT": INTEGER,
    "UINTEGER": INTEGER,
    "UBIGINT": BIG_INTEGER,
    "HUGEINT": BIG_INTEGER,
    "DOUBLE": NUMBER,
    "FLOAT": NUMBER,
    "BOOLEAN": BOOLEAN,
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "JSON": JSON,
    "VARCHAR": TEXT,
}


def copy(job: Job, engine: Engine, target: Target, rejects: Rejects) -> Copied:
    """Copy the table to a file, with types that lose nothing.

    Raises:
        BadInputError: it is no table, or its rows are not all accounted for.
        UnsafeInputError: its lines or rows are too long.
    """
    options = cast("ReadingOptions", job.options)
    if job.media_type == PARQUET:
        return _copy_parquet(job, engine, target, rejects)
    if job.media_type in _JSON:
        return copy_places(job, engine, read_json(job, rejects), target, rejects)
    table = look(job, options.encoding, options.wishes())
    return copy_text(job, engine, table, target, rejects)


def read(job: Job, engine: Engine, rejects: Rejects) -> Relation:
    """Read the table into one that knows the place of each row.

    Raises:
        BadInputError: it is no table.
        UnsafeInputError: its lines or rows are too long.
    """
    options = cast("ReadingOptions", job.options)
    if job.media_type == PARQUET:
        return _parquet(job, engine)
    if job.media_type in _JSON:
        return read_json(job, rejects)
    table = look(job, options.encoding, options.wishes())
    return rewrite(job, table, options.encoding, rejects)


def _parquet(job: Job, engine: Engine) -> Relation:
    rows = count_rows(job.source)
    described = engine.rows(f"DESCRIBE SELECT * FROM read_parquet({literal(str(job.source))})")
    require_width(len(described))
    names = [str(name) for name, *_ in described]
    types = [str(of) for _, of, *_ in described]
    return Relation(
        name_columns(names, len(names)),
        [_named(of) for of in types],
        ParquetRows(job.source, tuple(names), tuple(types)),
        rows,
        {"dialect": {"parquet": True}},
    )


def _named(sql: str) -> ColumnType:
    """Our type for one of the engine; what is nested or rare is given as text."""
    if sql.startswith("DECIMAL"):
        return ColumnType("decimal", sql)
    return _BY_SQL.get(sql, TEXT)


def _copy_parquet(job: Job, engine: Engine, target: Target, rejects: Rejects) -> Copied:
    """Copy rows that have types already; only those that are asked for are looked at again.

    Raises:
        BadInputError: its rows are not all accounted for.
    """
    relation = _parquet(job, engine)
    if target.asked:
        return copy_places(job, engine, relation, target, rejects)
    assert isinstance(relation.rows, ParquetRows)  # noqa: S101  made two lines above
    renamed = ", ".join('"' + name.replace('"', '""') + '"' for name in relation.names)
    source = f"read_parquet({literal(str(job.source))}) AS file({renamed})"
    query = target.shape(f"SELECT * FROM {source}", relation.names, relation.guesses)
    rows = engine.copy(query, target.path, target.how)
    if not relation.names:
        raise BadInputError("the Parquet file has no columns")
    return Copied(relation, relation.guesses, relation.counted, rows, 0).require_balance()
