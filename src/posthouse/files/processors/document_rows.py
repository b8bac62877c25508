"""Rows of text from CSV, JSON or NDJSON, for a table that people read."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from posthouse.files.processors.protocol import MIB, BadInputError, UnsafeInputError
from posthouse.kernel import strictjson
from posthouse.kernel.errors import MalformedJsonError

MAX_ROWS = 50_000
MAX_COLUMNS = 40
MAX_BYTES = 64 * MIB
_LONGEST_CELL = 131_072
CSV, JSON, NDJSON = "text/csv", "application/json", "application/x-ndjson"


@dataclass(slots=True)
class Rows:
    """The rows of a file; they are read anew each time, so none has to be kept.

    `names` are those of its columns, in the file's order.
    """

    path: Path
    media_type: str
    delimiter: str = ","
    names: list[str] = field(default_factory=list[str])
    _objects: list[Any] | None = None

    def open(self) -> None:
        """Find the columns' names.

        Raises:
            BadInputError: the file cannot be read as what it was taken for.
            UnsafeInputError: it is too large, or has too many columns.
        """
        if self.path.stat().st_size > MAX_BYTES:
            raise UnsafeInputError(f"The table is larger than {MAX_BYTES // MIB} MiB.")
        if self.media_type == CSV:
            self.names = next(self._records(), (0, list[str]()))[1]
        else:
            seen: dict[str, None] = {}
            for _, record in self._all_objects():
                seen.update(dict.fromkeys(record))
                if len(seen) > MAX_COLUMNS:
                    break
            self.names = list(seen)
        if not self.names:
            raise BadInputError("The table has no columns: there is no header and no row.")
        if len(self.names) > MAX_COLUMNS:
            raise UnsafeInputError(
                f"The table has more than {MAX_COLUMNS} columns, which no page shows. "
                "Choose some with `columns`, after making the file smaller."
            )

    def read(self, names: Sequence[str]) -> Iterator[list[str]]:
        """The cells of these columns, row by row.

        Raises:
            BadInputError: a row is not like the header, or is not to be read.
            UnsafeInputError: there are too many rows.
        """
        rows = self._csv_rows(names) if self.media_type == CSV else self._object_rows(names)
        for number, row in enumerate(rows, 1):
            if number > MAX_ROWS:
                raise UnsafeInputError(f"The table has more than {MAX_ROWS:,} rows.")
            yield row

    def _csv_rows(self, names: Sequence[str]) -> Iterator[list[str]]:
        places = [self.names.index(name) for name in names]
        records = self._records()
        next(records, None)
        for line, record in records:
            if len(record) != len(self.names):
                raise BadInputError(
                    f"Line {line} has {len(record)} cells, but the header has {len(self.names)}."
                )
            yield [record[place] for place in places]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """What is on which line, without those that are empty.

        Raises:
            BadInputError: it is not UTF-8, or not CSV.
        """
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(_LONGEST_CELL)
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                for record in reader:
                    if record:
                        yield reader.line_num, record
            except UnicodeDecodeError as error:
                raise BadInputError(
                    f"The file is not UTF-8 near line {reader.line_num}."
                ) from error
            except csv.Error as error:
                raise BadInputError(f"Line {reader.line_num} cannot be read: {error}.") from error

    def _object_rows(self, names: Sequence[str]) -> Iterator[list[str]]:
        for _, record in self._all_objects():
            yield [_shown(record.get(name)) for name in names]

    def _all_objects(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        values = self._array() if self.media_type == JSON else self._lines()
        for number, value in values:
            if not isinstance(value, dict):
                raise BadInputError(f"Row {number} is not a JSON object.")
            yield number, cast("dict[str, Any]", value)

    def _array(self) -> Iterator[tuple[int, Any]]:
        if self._objects is None:
            parsed = _parsed(self.path.read_bytes(), "The file")
            if not isinstance(parsed, list):
                raise BadInputError("The JSON is not an array of objects.")
            self._objects = cast("list[Any]", parsed)
        yield from enumerate(self._objects, 1)

    def _lines(self) -> Iterator[tuple[int, Any]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _parsed(line, f"Line {number}")


def _parsed(body: bytes, what: str) -> Any:
    try:
        return strictjson.parse(body)
    except MalformedJsonError as error:
        raise BadInputError(f"{what} is not JSON: {error.detail}") from error


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
