"""Shortens a URL: a random code and nothing else, which is most of what makers of links ask for.

Those who ask at the same time share one transaction, so a busy Posthouse waits for the disk once
for many of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from posthouse.kernel import events, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.together import Together
from posthouse.links import codes
from posthouse.links.model import Link, LinkId, LinkMade, NewLink, PlainLink
from posthouse.links.service import Links
from posthouse.links.store import links as store


@dataclass(slots=True)
class Shortening:
    """Makes plain links, many at a time."""

    links: Links
    _together: Together[PlainLink, Link | None] = field(init=False)

    def __post_init__(self) -> None:
        self._together = Together(self._insert)

    async def shorten(self, principal: Principal, url: str, *, host: str) -> Link:
        """Make a short link on `host` with a fresh code.

        Raises:
            TargetRefusedError: the target is not one that we lead to.
            UnknownDomainError: the workspace may not use `host`.
            NoFreeCodeError: no fresh code was free.
        """
        owner = principal.workspace_id
        domain = self.links.hosts.by_host.get(host)
        link: Link | None = None
        # In a transaction the link is part of it, and so not of one with others.
        if domain and domain.workspace_id in {None, owner} and not self.links.db.is_open:
            target = self.links.check_target(url)
            wanted = PlainLink(
                LinkId(ids.fresh()), owner, domain.id, codes.fresh(), target, principal.actor
            )
            link = await self._together.ask(wanted)
        return link or await self.links.make(principal, NewLink(url), host=host)

    async def _insert(self, wanted: Sequence[PlainLink]) -> Sequence[Link | None]:
        """Insert links; None for those that have to be made by themselves.

        Raises:
            PosthouseError: the database could not do it now; nothing was made.
        """
        try:
            async with self.links.db.begin() as tx:
                made = await store.insert_plain(tx, wanted)
                told = [LinkMade(link.workspace_id, link.id) for link in made.values()]
                await events.announce(tx, *told)
        except PosthouseError:
            raise
        except Exception:  # noqa: BLE001  one of them is to blame, and will be told
            return [None] * len(wanted)
        return [made.get(one.id) for one in wanted]
