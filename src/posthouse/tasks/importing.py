"""What a slice says so that its rows can be imported, and how an import went."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from posthouse.kernel.auth import Principal, Scope
from posthouse.kernel.db import Tx
from posthouse.kernel.errors import FieldProblem

SHOWN = 100


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with a row, counted from 1; row 0 is the file as a whole."""

    row: int
    field: str
    code: str
    message: str

    def shown(self) -> dict[str, Any]:
        """The problem as a result tells it."""
        return {
            "row": self.row, "field": self.field, "code": self.code, "message": self.message,
        }  # fmt: skip

    def as_field(self) -> FieldProblem:
        """The problem as a problem document names it."""
        where = "file" if self.row == 0 else f"row.{self.row}"
        return FieldProblem(f"{where}.{self.field}".rstrip("."), self.code, self.message)


Write = Callable[[Tx, Principal, Sequence[tuple[int, Any]]], Awaitable[Sequence[RowProblem]]]


@dataclass(frozen=True, slots=True)
class ImportKind:
    """Rows that can be imported: the task's name, the model of a row, and what writes them.

    `write(tx, principal, [(number, row), …])` inserts rows in one statement or a few and gives
    those that the database refuses, such as a number that is taken; it leaves them out.
    """

    name: str
    row: type[BaseModel]
    write: Write
    summary: str
    needs: Scope

    @property
    def model(self) -> str:
        """Where a child of the sandbox finds the model."""
        return f"{self.row.__module__}:{self.row.__qualname__}"


@dataclass(slots=True)
class Tally:
    """What came of the rows so far."""

    rows: int = 0
    imported: int = 0
    rejected: int = 0

    def result(
        self, problems: Sequence[RowProblem], report: str, *, is_dry_run: bool
    ) -> Mapping[str, Any]:
        """The result of the task; `report` has all problems."""
        return {
            "rows": self.rows,
            "imported": self.imported,
            "rejected": self.rejected,
            "dry_run": is_dry_run,
            "problems": [problem.shown() for problem in problems[:SHOWN]],
            "report": report if self.rejected else None,
        }
