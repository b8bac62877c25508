"""A price list as a PDF: the catalog's example of a file that a slice makes and files work on."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from posthouse.catalog import store
from posthouse.catalog.errors import ProductNotFoundError
from posthouse.catalog.model import Filter, ProductSort
from posthouse.catalog.ordering import key_of
from posthouse.catalog.schemas import Category, Currency
from posthouse.files.public import FILE, FilesDoor
from posthouse.kernel.db import Database
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.text import Line
from posthouse.kernel.work import Work

_PAGE = 500
_NAME = "price-list.ndjson"


class PriceListInput(BaseModel):
    """Which products are listed, and under which title."""

    model_config = ConfigDict(extra="forbid")

    title: Line = Field(default="Price list", max_length=200, description="Above the table.")
    category: Category | None = Field(default=None, description="Without it all products.")
    currency: Currency | None = Field(default=None, description="Only prices in this currency.")


@dataclass(frozen=True, slots=True)
class PriceList:
    """Lists the workspace's products by name."""

    db: Database
    files: FilesDoor

    async def run(self, wanted: PriceListInput, work: Work) -> Mapping[str, Any]:
        """Store the rows, and in the transaction that ends the task make them a file to be drawn.

        Raises:
            ProductNotFoundError: there is nothing to list.
        """
        rows = self._rows(wanted, work)
        first = await anext(rows, None)
        if first is None:
            raise ProductNotFoundError("There is no product to list.")

        async def pieces() -> AsyncGenerator[bytes]:
            yield first
            async for row in rows:
                yield row

        stored = await self.files.store(_NAME, pieces())
        recipe = {"steps": {"list": {"use": "document.table", "title": wanted.title}}}
        async with work.finishing() as ending:
            file_id = await self.files.make(ending.tx, work.principal, _NAME, stored, recipe)
            ending.result = {"file": FILE.show(file_id)}
        return {}

    async def _rows(self, wanted: PriceListInput, work: Work) -> AsyncGenerator[bytes]:
        keyset, done = Keyset(_PAGE), 0
        chosen = Filter(category=wanted.category, currency=wanted.currency)
        while True:
            async with self.db.begin() as tx:
                found = await store.page(
                    tx, work.principal.workspace_id, chosen, ProductSort.NAME, keyset
                )
            for product in found[:_PAGE]:
                row = {
                    "SKU": product.sku or "",
                    "Name": product.name,
                    "Category": product.category,
                    "Price": str(product.price),
                    "Currency": product.currency,
                }
                yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
            done += len(found[:_PAGE])
            await work.progress(done, None, "reading products")
            if len(found) <= _PAGE:
                return
            keyset = Keyset(_PAGE, key_of(found[_PAGE - 1], ProductSort.NAME))
