"""Searches products and links as one list."""

from dataclasses import dataclass, replace

from posthouse.catalog import store
from posthouse.catalog.model import Found, FoundKind
from posthouse.catalog.ranking import Place, merge
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.search import has_likeness
from posthouse.links.public import LinksDoor


@dataclass(frozen=True, slots=True)
class Searching:
    """Finds what has the words of a text, or words like them if there is nothing."""

    db: Database
    links: LinksDoor

    async def search(self, principal: Principal, text: str, keyset: Keyset) -> list[Found]:
        """Read one page and one hit more, best first."""
        place = Place.of(keyset)
        found = await self._find(principal, text, place, keyset.limit + 1)
        if found or keyset.after is not None or not has_likeness(text):
            return found
        return await self._find(principal, text, replace(place, is_fuzzy=True), keyset.limit + 1)

    async def _find(self, principal: Principal, text: str, place: Place, limit: int) -> list[Found]:
        async with self.db.begin() as tx:
            links = await self.links.search(principal, place.wanted(FoundKind.LINK, text, limit))
            products = await store.find_hits(
                tx, principal.workspace_id, place.wanted(FoundKind.PRODUCT, text, limit)
            )
        return merge(links, products, is_fuzzy=place.is_fuzzy, limit=limit)
