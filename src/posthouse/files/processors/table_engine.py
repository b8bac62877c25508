"""DuckDB, shut in: it reads one source, writes into one folder, and its settings are locked.

This is the only module that knows the library; its errors leave as ours.
"""

import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from posthouse.files.processors.protocol import MIB, BadInputError
from posthouse.files.processors.table_columns import MISFIT, literal


class MisfitError(Exception):
    """A cell is not of the type that its column was taken to have."""


class EngineError(Exception):
    """The engine could not do what it was asked; the text is its own, without paths."""


class _Result(Protocol):
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def fetchmany(self, size: int) -> list[tuple[Any, ...]]: ...


class _Connection(Protocol):
    def execute(self, query: str, parameters: object = ...) -> _Result: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class Engine:
    """One connection to an engine that lives as long as the step."""

    def __init__(self, source: Path, folder: Path, memory_bytes: int) -> None:
        """Start it with half of the address space; the rest is for threads and buffers."""
        import duckdb  # noqa: PLC0415  heavy: only where it is used

        self._scratch = folder / "engine-scratch"
        self._scratch.mkdir(exist_ok=True)
        self._connection: _Connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{max(128, memory_bytes // 2 // MIB)}MiB",
                "threads": min(2, os.cpu_count() or 1),
                "temp_directory": str(self._scratch),
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
                "preserve_insertion_order": True,
            },
        )
        for statement in (
            f"SET allowed_directories = [{literal(str(folder) + '/')}]",
            f"SET allowed_paths = [{literal(str(source))}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self._connection.execute(statement)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query and give all its rows.

        Raises:
            MisfitError: a cell is not of its type.
            EngineError: it cannot be run.
        """
        with _translated():
            return self._connection.execute(sql).fetchall()

    def pages(self, sql: str, size: int = 1000) -> Iterator[list[tuple[Any, ...]]]:
        """Run a query and give its rows in pages."""
        with _translated():
            result = self._connection.execute(sql)
            while page := result.fetchmany(size):
                yield page

    def copy(self, query: str, target: Path, how: str) -> int:
        """Write the rows of a query to a file; give their number.

        Raises:
            MisfitError: a cell is not of its type.
            EngineError: it cannot be run.
        """
        return int(self.rows(f"COPY ({query}) TO {literal(str(target))} ({how})")[0][0])

    def interrupt(self) -> None:
        """Stop the query that another thread runs."""
        self._connection.interrupt()

    def close(self) -> None:
        """End it, and remove what it put aside."""
        self._connection.close()
        for path in self._scratch.iterdir():
            path.unlink()
        self._scratch.rmdir()


@contextmanager
def running(source: Path, folder: Path, memory_bytes: int) -> Generator[Engine]:
    """Lend an engine. What it refuses is bad input to whoever asked for the step.

    Raises:
        BadInputError: the engine refused, and nobody knew a better answer.
    """
    engine = Engine(source, folder, memory_bytes)
    try:
        yield engine
    except EngineError as error:
        raise BadInputError(f"the table could not be read: {error}") from error
    finally:
        engine.close()


def engines() -> Mapping[str, str]:
    """Name the engine and its version."""
    import duckdb  # noqa: PLC0415

    return {"duckdb": duckdb.__version__}


@contextmanager
def _translated() -> Generator[None]:
    import duckdb  # noqa: PLC0415

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryError from error
    except duckdb.Error as error:
        text = str(error)
        if MISFIT in text:
            raise MisfitError from error
        raise EngineError(_without_paths(text)) from error


def _without_paths(text: str) -> str:
    """The first line of a message of the engine; paths of ours mean nothing to a sender."""
    line = text.strip().partition("\n")[0]
    return re.sub(r"['\"]?/[^\s'\"]+['\"]?", "the file", line)[:300]
