"""New prices for many products at once: the catalog's example of a task that callers ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from posthouse.catalog import store
from posthouse.catalog.model import ProductChanged, ProductId
from posthouse.catalog.schemas import Category
from posthouse.kernel import audit, events
from posthouse.kernel.work import Work


class RepriceInput(BaseModel):
    """Which prices change, and by how much."""

    model_config = ConfigDict(extra="forbid")

    percent: Annotated[Decimal, Field(gt=-100, le=1000, decimal_places=2)] = Field(
        description="5 raises prices by a twentieth, -50 halves them."
    )
    category: Category | None = Field(default=None, description="Without it all products.")


@dataclass(frozen=True, slots=True)
class Repricing:
    """Raises or lowers prices."""

    async def run(self, wanted: RepriceInput, work: Work) -> Mapping[str, Any]:
        """Change the prices, once, in the transaction that ends the task."""
        principal = work.principal
        async with work.finishing() as ending:
            changed = await store.reprice(
                ending.tx, principal.workspace_id, wanted.category, wanted.percent
            )
            if changed:
                owner = principal.workspace_id
                told = [ProductChanged(owner, ProductId(one), "edited") for one in changed]
                await events.announce(ending.tx, *told)
            detail = {"percent": str(wanted.percent), "count": len(changed)}
            subject = wanted.category or "all"
            await audit.record(ending.tx, principal, "product.repriced", subject, detail)
            await work.progress(len(changed), len(changed), "done")
            ending.result = {"changed": len(changed)}
        return {}
