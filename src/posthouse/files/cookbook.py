"""Saved recipes: kept under a name, each change a new version; and what a recipe would do."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.files.errors import RecipeNotFoundError
from posthouse.files.model import ChosenRecipe, Recipe, Step
from posthouse.files.recipes import read_text
from posthouse.files.store import recipes as store
from posthouse.kernel import audit
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database
from posthouse.kernel.pagination import Keyset


@dataclass(frozen=True, slots=True)
class Cookbook:
    """Recipes by name."""

    db: Database

    async def save(self, principal: Principal, name: str, steps: Sequence[Step]) -> Recipe:
        """Save a recipe; give its newest version. Safe to repeat.

        Files that came before keep the version that they came with.
        """
        async with self.db.begin() as tx:
            await store.lock(tx, principal.workspace_id, name)
            last = await store.find(tx, principal.workspace_id, name)
            if last is not None and last.steps == tuple(steps):
                return last
            version = 1 if last is None else last.version + 1
            saved = await store.add(tx, principal, name, version, steps)
            await audit.record(tx, principal, "recipe.saved", name, {"version": version})
        return saved

    async def find(self, principal: Principal, name: str, version: int | None = None) -> Recipe:
        """Find a version of a recipe, or the newest.

        Raises:
            RecipeNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            found = await store.find(connection, principal.workspace_id, name, version)
        if found is None:
            raise RecipeNotFoundError
        return found

    async def page(self, principal: Principal, keyset: Keyset) -> list[Recipe]:
        """Read the newest versions of one page of recipes and one more, by name."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, keyset)

    async def delete(self, principal: Principal, name: str) -> None:
        """Delete all versions of a recipe; files that came with it keep their steps.

        Raises:
            RecipeNotFoundError: there is none.
        """
        async with self.db.begin() as tx:
            if not await store.delete(tx, principal.workspace_id, name):
                raise RecipeNotFoundError
            await audit.record(tx, principal, "recipe.deleted", name)

    async def choose(self, principal: Principal, text: str, field: str) -> ChosenRecipe:
        """Read what a form says of a recipe: the name of a saved one, or steps as JSON.

        Raises:
            RecipeInvalidError: it is neither.
            RecipeNotFoundError: no recipe has this name.
            UnknownProcessorError: a step uses a processor that there is not.
        """
        read = read_text(text, field)
        if not isinstance(read, str):
            return ChosenRecipe(read)
        saved = await self.find(principal, read)
        return ChosenRecipe(saved.steps, saved.name, saved.version)
