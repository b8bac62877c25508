"""Recipients out of a file, many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Tx
from posthouse.notifications.errors import TopicNotFoundError
from posthouse.notifications.store import recipients as store
from posthouse.notifications.store import topics as topic_store
from posthouse.tasks.public import RowProblem

_TWICE = "duplicate-row"


@dataclass(frozen=True, slots=True)
class RecipientImport:
    """Writes rows that have been checked as `RecipientRow`."""

    async def write(
        self, tx: Tx, principal: Principal, rows: Sequence[tuple[int, Any]]
    ) -> list[RowProblem]:
        """Make or change recipients, and put them into their topics; give the rows that cannot be.

        An empty cell changes nothing. Topics that are not there are refused.
        """
        owner = principal.workspace_id
        keys = {key for _, row in rows for key in row["topics"]}
        topics = await topic_store.find_many(tx, owner, sorted(keys))
        refused: list[RowProblem] = []
        wanted: dict[str, dict[str, Any]] = {}
        for number, row in rows:
            missing = [key for key in row["topics"] if key not in topics]
            if missing:
                words = f"there is no topic {missing[0]}"
                refused.append(RowProblem(number, "topics", TopicNotFoundError.code, words))
            elif row["external_id"] in wanted:
                words = "an earlier row has this id"
                refused.append(RowProblem(number, "external_id", _TWICE, words))
            else:
                wanted[row["external_id"]] = {**row, "id": str(ids.fresh())}
        given = [
            {name: value for name, value in row.items() if name != "topics"}
            for row in wanted.values()
        ]
        if not given:
            return refused
        made = await store.upsert_many(tx, owner, given)
        pairs = [(topics[key], made[name]) for name, row in wanted.items() for key in row["topics"]]
        if pairs:
            await topic_store.add_pairs(tx, owner, pairs)
        words = f"{len(made)} recipients"
        await audit.record(tx, principal, "recipient.imported", words, {"count": len(made)})
        return refused
