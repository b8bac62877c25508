"""Makes what tests start from, with good defaults: name only what matters to the test."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from posthouse.accounts import apikeys
from posthouse.accounts.model import KEY, KeyId, NewKey, WorkspaceId
from posthouse.accounts.store import keys as key_store
from posthouse.accounts.store import users as user_store
from posthouse.catalog.model import NewProduct, Product
from posthouse.catalog.service import Products
from posthouse.files.model import FILE, NewFile
from posthouse.files.resuming import Resumables
from posthouse.files.uploading import Sending, Uploads, whole
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal, Role
from posthouse.links.model import Link, NewLink
from posthouse.links.service import Links
from posthouse.runtime import Runtime
from posthouse.tasks.model import NewTask, Task
from posthouse.tasks.service import Tasks


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

    async def analyze(self, table: str) -> None:
        """Gather a table's statistics, behind an autovacuum that may be at it just now.

        Postgres ends an autovacuum that is in the way after `deadlock_timeout`, a second, which is
        also as long as our connections wait for a lock.
        """
        async with self.runtime.parts.db.begin() as tx:
            await tx.execute("SET LOCAL lock_timeout = '4s'")
            await tx.execute(f"ANALYZE {table}")

    async def task(self, principal: Principal | None = None, kind: str = "no.worker") -> Task:
        """A task that no worker of ours runs, unless its kind is one of ours."""
        tasks = cast("Tasks", self.service(Tasks))
        return await tasks.submit(principal or await self.principal(), NewTask(kind, {}))

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

    async def file(
        self,
        principal: Principal | None = None,
        content: bytes = b"name,price\nLamp,29.99\n",
        name: str = "rows.csv",
    ) -> str:
        """A stored file without a recipe; its id as callers see it."""
        uploads = cast("Uploads", self.service(Uploads))
        new = NewFile(name, "")

        async def pieces() -> AsyncGenerator[bytes]:
            yield content

        owner = principal or await self.principal()
        sending = Sending(new, pieces(), whole(new), len(content), None)
        file_id, _ = await uploads.receive(owner, sending)
        return FILE.show(file_id)

    async def upload(
        self, principal: Principal | None = None, length_bytes: int | None = 100
    ) -> str:
        """A resumable upload of which nothing has come yet."""
        resumables = cast("Resumables", self.service(Resumables))
        owner, new = principal or await self.principal(), NewFile("rows.csv", "")
        made = await resumables.create(owner, new, length_bytes=length_bytes, metadata="")
        return FILE.show(made.id)

    async def product(
        self,
        principal: Principal | None = None,
        *,
        name: str = "Kettle",
        price: str = "29.99",
        **chosen: Any,
    ) -> Product:
        products = cast("Products", self.service(Products))
        rest: dict[str, Any] = {"currency": "EUR", "category": "kitchen", **chosen}
        new = NewProduct(name=name, price=Decimal(price), **rest)
        return await products.make(principal or await self.principal(), new)
