"""The rules of the catalog: one method is one use case and one transaction."""

from dataclasses import dataclass, replace
from typing import Any

from posthouse.catalog import store
from posthouse.catalog.errors import ProductNotFoundError, SkuTakenError
from posthouse.catalog.model import (
    Filter,
    NewProduct,
    Product,
    ProductChanged,
    ProductId,
    ProductMade,
    ProductSort,
    ProductState,
)
from posthouse.kernel import audit, events
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import StaleError
from posthouse.kernel.pagination import Keyset, Offset


@dataclass(frozen=True, slots=True)
class Products:
    """Products: make them, find them, change them."""

    db: Database

    async def make(self, principal: Principal, new: NewProduct) -> Product:
        """Make a product.

        Raises:
            SkuTakenError: another product has its SKU.
        """
        async with self.db.begin() as tx:
            product = await store.insert(tx, principal.workspace_id, new)
            if product is None:
                raise SkuTakenError
            await audit.record(tx, principal, "product.made", str(product.id))
            await events.announce(tx, ProductMade(product.workspace_id, product.id))
        return product

    async def find(self, principal: Principal, product_id: ProductId) -> Product:
        """Find a product of the caller's workspace.

        Raises:
            ProductNotFoundError: there is none, or it is deleted.
        """
        async with self.db.read() as connection:
            product = await store.find(connection, principal.workspace_id, product_id)
        if product is None or product.state is ProductState.DELETED:
            raise ProductNotFoundError
        return product

    async def page(
        self, principal: Principal, wanted: Filter, sort: ProductSort, keyset: Keyset
    ) -> list[Product]:
        """Read one page by cursor, and one product more."""
        async with self.db.begin() as tx:
            return await store.page(tx, principal.workspace_id, wanted, sort, keyset)

    async def page_at(
        self, principal: Principal, wanted: Filter, sort: ProductSort, offset: Offset
    ) -> tuple[list[Product], int | None]:
        """Read one page by offset, and one product more; and the total if it is asked for."""
        owner, keyset = principal.workspace_id, Keyset(offset.limit)
        async with self.db.snapshot() if offset.with_total else self.db.begin() as tx:
            products = await store.page(tx, owner, wanted, sort, keyset, skip=offset.skip)
            total = await store.count(tx, owner, wanted) if offset.with_total else None
        return products, total

    async def edit(
        self,
        principal: Principal,
        product_id: ProductId,
        changes: dict[str, Any],
        *,
        version: int | None = None,
    ) -> Product:
        """Change what `changes` names: fields of `NewProduct`.

        Raises:
            ProductNotFoundError: there is no such product, or it is deleted.
            StaleError: it has another version than `version`.
            SkuTakenError: another product has its new SKU.
        """
        async with self.db.begin() as tx:
            product = await self.expect(tx, principal, product_id, version)
            fields = {"fields": sorted(changes)}
            return await self._change(tx, principal, replace(product, **changes), "edited", fields)

    async def delete(
        self, principal: Principal, product_id: ProductId, *, version: int | None = None
    ) -> None:
        """Delete a product; it can be restored. Of two who delete it, one hears that it is gone.

        Raises:
            ProductNotFoundError: there is no such product, or it is deleted.
            StaleError: it has another version than `version`.
        """
        async with self.db.begin() as tx:
            product = await self.expect(tx, principal, product_id, version)
            deleted = replace(product, state=ProductState.DELETED)
            await self._change(tx, principal, deleted, "deleted")

    async def restore(self, principal: Principal, product_id: ProductId) -> Product:
        """Bring back a deleted product; safe to repeat.

        Raises:
            ProductNotFoundError: there is no such product.
            SkuTakenError: another product has its SKU by now.
        """
        async with self.db.begin() as tx:
            product = await store.lock(tx, principal.workspace_id, product_id)
            if product is None:
                raise ProductNotFoundError
            if product.state is ProductState.ACTIVE:
                return product
            restored = replace(product, state=ProductState.ACTIVE)
            return await self._change(tx, principal, restored, "restored")

    async def expect(
        self, tx: Tx, principal: Principal, product_id: ProductId, version: int | None
    ) -> Product:
        """Find a product that is not deleted, and let nobody else change it meanwhile.

        Raises:
            ProductNotFoundError: there is none.
            StaleError: it has another version than `version`.
        """
        product = await store.lock(tx, principal.workspace_id, product_id)
        if product is None or product.state is ProductState.DELETED:
            raise ProductNotFoundError
        if version is not None and version != product.version:
            raise StaleError(f"It has version {product.version} now.")
        return product

    async def note_edit(
        self, tx: Tx, principal: Principal, product: Product, field: str
    ) -> Product:
        """Write that something beside the row of a product was changed, as an edit of it."""
        return await self._change(tx, principal, product, "edited", {"fields": [field]})

    async def _change(
        self,
        tx: Tx,
        principal: Principal,
        wanted: Product,
        what: str,
        detail: dict[str, Any] | None = None,
    ) -> Product:
        changed = await store.update(tx, wanted)
        if changed is None:
            raise SkuTakenError
        await audit.record(tx, principal, f"product.{what}", str(changed.id), detail)
        await events.announce(tx, ProductChanged(changed.workspace_id, changed.id, what))
        return changed
