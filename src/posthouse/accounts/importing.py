"""Users out of a file, many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.accounts.errors import EmailTakenError, RoleTooHighError
from posthouse.accounts.store import users as store
from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Tx
from posthouse.tasks.public import RowProblem


@dataclass(frozen=True, slots=True)
class UserImport:
    """Writes rows that have been checked as `UserRow`."""

    async def write(
        self, tx: Tx, principal: Principal, rows: Sequence[tuple[int, Any]]
    ) -> list[RowProblem]:
        """Insert users and their memberships; give the rows that the installation refuses."""
        refused: list[RowProblem] = []
        wanted: dict[str, tuple[int, dict[str, Any]]] = {}
        for number, row in rows:
            address = row["email"].lower()
            if not principal.role.covers(Role(row["role"])):
                code, words = RoleTooHighError.code, RoleTooHighError.title
                refused.append(RowProblem(number, "role", code, words))
            elif address in wanted:
                refused.append(_taken(number))
            else:
                wanted[address] = (number, row | {"id": str(ids.fresh())})
        given = [row for _, row in wanted.values()]
        made = await store.insert_many(tx, principal.workspace_id, given)
        if made:
            detail = {"count": len(made)}
            await audit.record(tx, principal, "user.imported", f"{len(made)} users", detail)
        refused += [
            _taken(number) for address, (number, _) in wanted.items() if address not in made
        ]
        return sorted(refused, key=lambda problem: problem.row)


def _taken(number: int) -> RowProblem:
    return RowProblem(number, "email", EmailTakenError.code, EmailTakenError.title)
