"""The statements about saved recipes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from posthouse.files.model import Recipe, Step
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 4))"
_NEWEST = """
SELECT * FROM recipes WHERE workspace_id = $1 AND name = $2 ORDER BY version DESC LIMIT 1
"""
_FIND = "SELECT * FROM recipes WHERE workspace_id = $1 AND name = $2 AND version = $3"
_ADD = """
INSERT INTO recipes (workspace_id, name, version, steps, created_by)
VALUES ($1, $2, $3, $4, $5) RETURNING *
"""
_PAGE = """
SELECT DISTINCT ON (name) * FROM recipes
WHERE workspace_id = $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name, version DESC LIMIT $3
"""
_DELETE = "DELETE FROM recipes WHERE workspace_id = $1 AND name = $2"


def steps_of(kept: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Read steps as rows keep them."""
    return tuple(Step(**one) for one in kept)


def _recipe(row: Row) -> Recipe:
    return Recipe(
        row["name"], row["version"], steps_of(row["steps"]), row["created_by"], row["created_at"]
    )


async def lock(tx: Tx, workspace_id: UUID, name: str) -> None:
    """Keep others from saving a recipe of this name until the transaction ends."""
    await tx.execute(_LOCK, f"recipe {workspace_id} {name}")


async def find(tx: Tx, workspace_id: UUID, name: str, version: int | None = None) -> Recipe | None:
    """Find a version of a recipe, or the newest."""
    if version is None:
        row = await tx.fetchrow(_NEWEST, workspace_id, name)
    else:
        row = await tx.fetchrow(_FIND, workspace_id, name, version)
    return None if row is None else _recipe(row)


async def add(tx: Tx, owner: Principal, name: str, version: int, steps: Sequence[Step]) -> Recipe:
    """Add a version."""
    row = await tx.fetchrow(
        _ADD, owner.workspace_id, name, version, [step.as_json() for step in steps], owner.actor
    )
    assert row is not None  # noqa: S101  an INSERT returns its row
    return _recipe(row)


async def page(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Recipe]:
    """Read the newest versions of one page of recipes and one more, by name."""
    after = str(keyset.after[0]) if keyset.after else None
    return [_recipe(row) for row in await tx.fetch(_PAGE, workspace_id, after, keyset.limit + 1)]


async def delete(tx: Tx, workspace_id: UUID, name: str) -> bool:
    """Delete all versions of a recipe; False if there is none."""
    return changed_rows(await tx.execute(_DELETE, workspace_id, name)) > 0
