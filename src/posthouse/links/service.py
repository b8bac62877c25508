"""The rules of links: one method is one use case and one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from posthouse.accounts.public import AccountsDoor
from posthouse.kernel import audit, events, ids
from posthouse.kernel.auth import Principal, UnauthenticatedError
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, InvalidInputError, StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.passwords import Passwords
from posthouse.kernel.search import Hit, Wanted
from posthouse.links import codes
from posthouse.links.errors import (
    CodeTakenError,
    LinkNotFoundError,
    NoFreeCodeError,
    UnknownDomainError,
)
from posthouse.links.hosts import HostTable
from posthouse.links.model import (
    LINK,
    Domain,
    Filter,
    Link,
    LinkChanged,
    LinkId,
    LinkMade,
    LinkSort,
    LinkState,
    NewLink,
)
from posthouse.links.resolver import Resolver
from posthouse.links.routes import Route
from posthouse.links.settings import LinksSettings
from posthouse.links.store import links as store
from posthouse.links.targets import TargetPolicy

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Links:
    """Short links: make them, change them, tell who follows."""

    db: Database
    clock: Clock
    passwords: Passwords
    resolver: Resolver
    hosts: HostTable
    settings: LinksSettings
    accounts: AccountsDoor

    async def maker(self, principal: Principal | None) -> Principal:
        """Who a quick link is made by: the caller, or nobody in the first workspace.

        Raises:
            UnauthenticatedError: there is no caller, and anonymous links are switched off.
        """
        if principal is not None:
            return principal
        if not self.settings.anonymous_shorten:
            raise UnauthenticatedError
        return await self.accounts.anonymous()

    async def make(
        self,
        principal: Principal,
        new: NewLink,
        *,
        host: str,
        code: str | None = None,
        password: str | None = None,
    ) -> Link:
        """Make a short link on `host`, under `code` if one is asked for.

        Raises:
            TargetRefusedError: the target is not one that we lead to.
            CodeTakenError: someone else has `code`, or it is reserved.
            UnknownDomainError: the workspace may not use `host`.
            NoFreeCodeError: no fresh code was free.
        """
        new = replace(new, url=self.check_target(new.url))
        password_hash = await self.passwords.hash(password) if password else None
        async with self.db.begin() as tx:
            domain = await self._domain(tx, principal.workspace_id, host)
            link = await self._insert(tx, principal, new, domain, code, password_hash)
            await events.announce(tx, LinkMade(link.workspace_id, link.id))
            if code is not None:
                # Somebody may have asked for it before, and been told that it is unknown.
                await self._tell(tx, link)
        return link

    async def _domain(self, tx: Tx, workspace_id: UUID, host: str) -> Domain:
        domain = self.hosts.by_host.get(host) or await store.find_domain(tx, workspace_id, host)
        if domain is None or domain.workspace_id not in {None, workspace_id}:
            raise UnknownDomainError(f"This workspace has no domain {host}.")
        return domain

    async def _insert(
        self,
        tx: Tx,
        principal: Principal,
        new: NewLink,
        domain: Domain,
        code: str | None,
        password_hash: str | None,
    ) -> Link:
        insert = partial(
            store.insert, tx, password_hash=password_hash, created_by=principal.actor, new=new
        )
        owner = principal.workspace_id
        if code is not None:
            if codes.is_reserved(code):
                raise CodeTakenError(f"{code} is kept for our own pages.")
            link = await insert(LinkId(ids.fresh()), owner, domain.id, code)
            if link is None:
                raise CodeTakenError
            return link
        for _ in range(_TRIES):
            link = await insert(LinkId(ids.fresh()), owner, domain.id, codes.fresh())
            if link is not None:
                return link
        raise NoFreeCodeError(retry_after_s=1)

    def check_target(self, url: str) -> str:
        """Normalise a target.

        Raises:
            TargetRefusedError: it is not one that we lead to.
        """
        policy = TargetPolicy(
            own_hosts=self.hosts.by_host,
            blocked_hosts=self.settings.blocked_hosts,
            allows_private=self.settings.allow_private_targets,
        )
        return policy.normalise(url)

    async def find(self, principal: Principal, link_id: LinkId) -> Link:
        """Find a link of the caller's workspace; a deleted one too, so that it can be restored.

        Raises:
            LinkNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            link = await store.find(connection, principal.workspace_id, link_id)
        if link is None:
            raise LinkNotFoundError
        return link

    async def page(
        self, principal: Principal, wanted: Filter, sort: LinkSort, keyset: Keyset
    ) -> list[tuple[Link, str]]:
        """Read one page and one link more, each with the transaction that made it."""
        read = store.page_oldest if sort is LinkSort.OLDEST else store.page_newest
        async with self.db.begin() as tx:
            return await read(tx, principal.workspace_id, wanted, keyset)

    async def search(self, principal: Principal, wanted: Wanted) -> Sequence[Hit]:
        """Search titles, codes and targets; best first."""
        async with self.db.begin() as tx:
            return await store.find_hits(tx, principal.workspace_id, wanted)

    async def edit(
        self,
        principal: Principal,
        link_id: LinkId,
        changes: dict[str, object],
        *,
        version: int | None = None,
    ) -> Link:
        """Change what `changes` names: fields of `NewLink`, and `password` (None takes it away).

        Raises:
            LinkNotFoundError: there is no such link, or it is deleted.
            StaleError: it has another version than `version`.
            TargetRefusedError: the new target is not one that we lead to.
        """
        changes = dict(changes)
        sets_password = "password" in changes
        password = changes.pop("password", None)
        password_hash = await self.passwords.hash(str(password)) if password else None
        if "url" in changes:
            changes["url"] = self.check_target(str(changes["url"]))
        async with self.db.begin() as tx:
            link = await self._expect(tx, principal, link_id, version)
            if link.state is LinkState.DELETED:
                raise LinkNotFoundError
            wanted = replace(_chosen(link), **changes)  # type: ignore[arg-type]  the schema typed them
            _require_order(wanted)
            edited = await store.update(
                tx,
                link,
                wanted,
                state=link.state,
                password_hash=password_hash,
                sets_password=sets_password,
            )
            fields = sorted([*changes, "password"] if sets_password else changes)
            return await self._changed(tx, principal, edited, "link.edited", fields=fields)

    async def set_state(
        self, principal: Principal, link_id: LinkId, state: LinkState, *, version: int | None = None
    ) -> Link:
        """Disable, delete, or bring back a link; safe to repeat.

        Raises:
            LinkNotFoundError: there is no such link.
            StaleError: it has another version than `version`.
        """
        async with self.db.begin() as tx:
            link = await self._expect(tx, principal, link_id, version)
            if link.state is state:
                return link
            edited = await store.update(
                tx, link, _chosen(link), state=state, password_hash=None, sets_password=False
            )
            return await self._changed(tx, principal, edited, f"link.{state}")

    async def _expect(
        self, tx: Tx, principal: Principal, link_id: LinkId, version: int | None
    ) -> Link:
        link = await store.find(tx, principal.workspace_id, link_id)
        if link is None:
            raise LinkNotFoundError
        if version is not None and version != link.version:
            raise StaleError(f"It has version {link.version} now.")
        return link

    async def _changed(
        self,
        tx: Tx,
        principal: Principal,
        link: Link | None,
        action: str,
        *,
        fields: list[str] | None = None,
    ) -> Link:
        if link is None:
            raise StaleError("Somebody else changed it at the same time.")
        await audit.record(tx, principal, action, LINK.show(link.id), {"fields": fields or []})
        await events.announce(tx, LinkChanged(link.workspace_id, link.id))
        await self._tell(tx, link)
        return link

    async def _tell(self, tx: Tx, link: Link) -> None:
        """Tell all processes after the commit; the listener of `link.changed` is the guarantee."""
        found = await store.find_route_by_id(tx, link.id)
        if found is not None:
            domain_id, code, route = found
            self.db.after_commit(
                lambda: _ignore_result(self.resolver.announce((str(domain_id), code), route))
            )

    async def read_routes(self, keys: Sequence[tuple[str, str]]) -> list[Route | None]:
        """Read what following each (domain, code) means, past all caches."""
        async with self.db.read(is_urgent=True) as connection:
            return await store.find_routes(connection, keys)

    async def refresh(self, link_id: UUID) -> bool:
        """Tell all processes what a link is now; False if Valkey did not take it. May repeat."""
        async with self.db.read() as connection:
            found = await store.find_route_by_id(connection, link_id)
        if found is None:
            return True
        domain_id, code, route = found
        return await self.resolver.announce((str(domain_id), code), route)

    async def spend(self, route: Route) -> bool:
        """Use up one of a link's clicks; False if none is left."""
        async with self.db.begin(is_urgent=True) as tx:
            return await store.spend(tx, UUID(bytes=route.link_id))

    async def password_hash(self, link_id: bytes) -> str | None:
        """Read the hash of a link's password."""
        async with self.db.read() as connection:
            return await store.password_hash(connection, UUID(bytes=link_id))


async def _ignore_result(telling: object) -> None:
    await telling  # type: ignore[misc]


def _require_order(new: NewLink) -> None:
    if new.valid_from and new.valid_until and new.valid_from >= new.valid_until:
        problem = FieldProblem("body.valid_until", "not-in-order", "must be after valid_from")
        raise InvalidInputError("valid_from must be before valid_until.", fields=[problem])


def _chosen(link: Link) -> NewLink:
    return NewLink(
        url=link.url,
        title=link.title,
        notes=link.notes,
        tags=link.tags,
        utm=link.utm,
        redirect_status=link.redirect_status,
        forwards_query=link.forwards_query,
        forwards_path=link.forwards_path,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        max_clicks=link.max_clicks,
    )
