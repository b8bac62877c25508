"""The front door of links."""

from dataclasses import dataclass

from posthouse.kernel.auth import Principal
from posthouse.links.model import Link, NewLink
from posthouse.links.service import Links


@dataclass(frozen=True, slots=True)
class LinksDoor:
    """What other slices may ask of links; inside `db.begin()` it joins their transaction."""

    links: Links

    async def shorten(self, principal: Principal, url: str, *, host: str) -> Link:
        """Make a short link with a random code.

        Raises:
            TargetRefusedError: the target is not one that we lead to.
        """
        return await self.links.make(principal, NewLink(url=url), host=host)
