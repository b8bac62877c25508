"""The front door of links."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.kernel.auth import Principal
from posthouse.kernel.search import Hit, Wanted
from posthouse.links.addressing import Addressing
from posthouse.links.errors import TargetRefusedError
from posthouse.links.model import LINK, READ, Link
from posthouse.links.shortening import Shortening

__all__ = ["LinksDoor", "TargetRefusedError"]


@dataclass(frozen=True, slots=True)
class LinksDoor:
    """What other slices may ask of links; inside `db.begin()` it joins their transaction."""

    shortening: Shortening
    addressing: Addressing

    def short_url(self, link: Link) -> str:
        """The address of a link as it is given to people."""
        return self.addressing.short_url(link)

    async def shorten(self, principal: Principal, url: str, *, host: str) -> Link:
        """Make a short link with a random code.

        Raises:
            TargetRefusedError: the target is not one that we lead to.
            UnknownDomainError: the workspace may not use `host`.
            NoFreeCodeError: no fresh code was free.
        """
        return await self.shortening.shorten(principal, url, host=host)

    async def search(self, principal: Principal, wanted: Wanted) -> Sequence[Hit]:
        """Search the links that the caller may see; ids are as callers see them."""
        if not principal.may(READ):
            return []
        after_id = None if wanted.after_id is None else LINK.read(wanted.after_id)
        links = self.shortening.links
        hits = await links.search(principal, replace(wanted, after_id=after_id))
        return [replace(hit, id=LINK.show(hit.id)) for hit in hits]
