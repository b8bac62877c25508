"""The orders of the lists: by which column, which way, and what a cursor has to remember."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from posthouse.catalog.model import Product, ProductSort


@dataclass(frozen=True, slots=True)
class Order:
    """An order by `column`, of the SQL type `kind`, and then by id, both the same way.

    `read` makes the column's value of what a cursor has kept as text.
    """

    column: str
    kind: str
    read: Callable[[str], object]
    is_down: bool = False
    condition: str = "true"


ORDERS = {
    ProductSort.NEWEST: Order("id", "bigint", int, is_down=True),
    # An upward list must not pass a product that commits late; see `kernel.pagination`.
    ProductSort.OLDEST: Order(
        "tx", "xid8", int, condition="p.tx < pg_snapshot_xmin(pg_current_snapshot())"
    ),
    ProductSort.NAME: Order("name", "text", str),
    ProductSort.NAME_DOWN: Order("name", "text", str, is_down=True),
    ProductSort.PRICE: Order("price", "numeric", Decimal),
    ProductSort.PRICE_DOWN: Order("price", "numeric", Decimal, is_down=True),
}


def key_of(product: Product, sort: ProductSort) -> tuple[str, int]:
    """Where a product stands in an order."""
    return str(getattr(product, ORDERS[sort].column)), product.id
