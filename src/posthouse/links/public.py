"""The front door of links."""

from dataclasses import dataclass

from posthouse.kernel.auth import Principal
from posthouse.links.model import Link
from posthouse.links.shortening import Shortening


@dataclass(frozen=True, slots=True)
class LinksDoor:
    """What other slices may ask of links; inside `db.begin()` it joins their transaction."""

    shortening: Shortening

    async def shorten(self, principal: Principal, url: str, *, host: str) -> Link:
        """Make a short link with a random code.

        Raises:
            TargetRefusedError: the target is not one that we lead to.
            UnknownDomainError: the workspace may not use `host`.
            NoFreeCodeError: no fresh code was free.
        """
        return await self.shortening.shorten(principal, url, host=host)
