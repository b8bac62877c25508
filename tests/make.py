"""Makes what tests start from, with good defaults: name only what matters to the test."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from posthouse.accounts import apikeys
from posthouse.accounts.model import KEY, KeyId, NewKey, WorkspaceId
from posthouse.accounts.store import keys as key_store
from posthouse.accounts.store import users as user_store
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal, Role
from posthouse.links.model import Link, NewLink
from posthouse.links.service import Links
from posthouse.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Maker:
    """Factories on an open runtime."""

    runtime: Runtime

    def service(self, kind: type[Any]) -> Any:
        return self.runtime.services[kind]

    async def workspace(self, name: str = "Test") -> WorkspaceId:
        workspace_id = WorkspaceId(ids.fresh())
        async with self.runtime.parts.db.begin() as tx:
            await user_store.insert_workspace(tx, workspace_id, name)
        return workspace_id

    async def key(
        self,
        *,
        workspace: UUID | None = None,
        role: Role = Role.OWNER,
        scopes: frozenset[str] | None = None,
    ) -> str:
        """A live API key, in a workspace of its own unless one is named."""
        workspace_id = WorkspaceId(workspace or await self.workspace())
        key = apikeys.fresh()
        async with self.runtime.parts.db.begin() as tx:
            await key_store.insert(
                tx,
                KeyId(ids.fresh()),
                workspace_id,
                NewKey("test", role, scopes),
                hint=apikeys.hint(key),
                digest=cast("bytes", apikeys.digest(key)),
                created_by="test",
            )
        return key

    async def principal(
        self, *, workspace: UUID | None = None, role: Role = Role.OWNER
    ) -> Principal:
        return Principal(
            workspace_id=workspace or await self.workspace(),
            actor=KEY.show(ids.fresh()),
            role=role,
        )

    async def link(
        self,
        principal: Principal | None = None,
        *,
        url: str = "https://example.com/",
        code: str | None = None,
        password: str | None = None,
        host: str = "127.0.0.1",
        **chosen: Any,
    ) -> Link:
        links = cast("Links", self.service(Links))
        return await links.make(
            principal or await self.principal(),
            NewLink(url=url, **chosen),
            host=host,
            code=code,
            password=password,
        )
