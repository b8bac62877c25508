"""The rows that a step could not take, each with its place, reason and text, as a CSV file."""

import csv
from pathlib import Path
from typing import Any

from posthouse.files.processors.protocol import Output

_HEADER = ("line", "byte_offset", "column", "reason", "raw")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
REASONS = {
    "too-few-cells": "The row has fewer cells than the header.",
    "too-many-cells": "The row has more cells than the header.",
    "bad-quote": "A quote is followed by something else than a delimiter.",
    "unclosed-quote": "A quote is opened and not closed within 1 MiB.",
    "invalid-encoding": "The row has bytes that are not in the file's encoding.",
    "nul-byte": "The row has a NUL character.",
    "wrong-type": "A cell is not of the type that was asked for its column.",
    "invalid-json": "The line is not JSON.",
    "not-an-object": "The value is not an object with names and values.",
    "repeated-name": "The object has a name twice.",
}


class Rejects:
    """Writes refused rows to a file as they come; makes no file if there are none."""

    def __init__(self, folder: Path, *, escapes_formulas: bool = False) -> None:
        """Write into `folder`."""
        self.path = folder / "rejects.csv"
        self.number = 0
        self._escapes = escapes_formulas
        self._file: Any = None
        self._writer: Any = None

    def add(self, line: int, offset: int | None, column: str, reason: str, raw: str) -> None:
        """Write one row that was refused."""
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", errors="replace", newline="")
            self._writer = csv.writer(self._file, lineterminator="\r\n")
            self._writer.writerow(_HEADER)
        self.number += 1
        texts = [column, reason, raw]
        if self._escapes:
            texts = ["'" + text if text.startswith(_FORMULA) else text for text in texts]
        self._writer.writerow([line, "" if offset is None else offset, *texts])

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = self._writer = None

    def forget(self) -> None:
        """Begin again: the rows are about to be read another way."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.number = 0

    def outputs(self) -> list[Output]:
        """Give the file as an output, if there is one."""
        self.close()
        if not self.number:
            return []
        facts = {"rejects": self.number}
        return [Output(self.path, "text/csv", "csv", key="rejects", facts=facts)]
