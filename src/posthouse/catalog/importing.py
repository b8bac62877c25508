"""Products out of a file, many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.catalog import store
from posthouse.catalog.errors import SkuTakenError
from posthouse.catalog.model import ProductId, ProductMade
from posthouse.catalog.settings import CatalogSettings
from posthouse.kernel import audit, events
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Tx
from posthouse.tasks.public import RowProblem


@dataclass(frozen=True, slots=True)
class ProductImport:
    """Writes rows that have been checked as `ProductIn`."""

    settings: CatalogSettings

    async def write(
        self, tx: Tx, principal: Principal, rows: Sequence[tuple[int, Any]]
    ) -> list[RowProblem]:
        """Insert products; give the rows whose SKU another product has."""
        first_with: dict[str, int] = {}
        for number, row in rows:
            if row["sku"] is not None:
                first_with.setdefault(row["sku"], number)
        wanted = [
            row | {"currency": row["currency"] or self.settings.currency}
            for number, row in rows
            if row["sku"] is None or first_with[row["sku"]] == number
        ]
        made = await store.insert_many(tx, principal.workspace_id, wanted)
        if made:
            owner = principal.workspace_id
            told = [ProductMade(owner, ProductId(product_id)) for product_id, _ in made]
            await events.announce(tx, *told)
            subject = f"{made[0][0]} to {made[-1][0]}"
            await audit.record(tx, principal, "product.imported", subject, {"count": len(made)})
        written = {sku for _, sku in made if sku is not None}
        return [
            RowProblem(number, "sku", SkuTakenError.code, SkuTakenError.title)
            for number, row in rows
            if row["sku"] is not None
            and (row["sku"] not in written or first_with[row["sku"]] != number)
        ]
