"""The statements of the catalog."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from posthouse.catalog.model import (
    Filter,
    NewProduct,
    Product,
    ProductId,
    ProductSort,
    ProductState,
    Wait,
)
from posthouse.catalog.ordering import ORDERS, Order
from posthouse.kernel import ids, search
from posthouse.kernel.db import Row, Tx, UniqueViolationError
from posthouse.kernel.ids import Prefix
from posthouse.kernel.pagination import Keyset

RECIPIENT = Prefix("rcp")

_COLUMNS = """
  p.id, p.workspace_id, p.name, p.price, p.currency, p.category, p.description, p.sku, p.stock,
  p.tags, p.state, p.version, p.tx::text AS tx, p.created_at, p.updated_at
"""
_INSERT = f"""
INSERT INTO products AS p
  (workspace_id, name, price, currency, category, description, sku, stock, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING {_COLUMNS}
"""
_INSERT_MANY = """
INSERT INTO products
  (workspace_id, name, price, currency, category, description, sku, stock, tags)
SELECT $1, r.name, r.price, r.currency, r.category, r.description, r.sku, r.stock,
  ARRAY(SELECT jsonb_array_elements_text(r.tags))
FROM jsonb_to_recordset($2) AS r (name text, price numeric, currency text, category text,
  description text, sku text, stock bigint, tags jsonb)
ON CONFLICT (workspace_id, sku) WHERE state <> 'deleted' DO NOTHING
RETURNING id, sku
"""
_REPRICE = """
UPDATE products
SET price = least(greatest(round(price * (1 + $3::numeric / 100), 2), 0.01), 1000000),
    version = version + 1, updated_at = now()
WHERE workspace_id = $1 AND state <> 'deleted' AND ($2::text IS NULL OR category = $2)
RETURNING id
"""
_FIND = f"SELECT {_COLUMNS} FROM products p WHERE p.workspace_id = $1 AND p.id = $2"
_LOCK = f"{_FIND} FOR UPDATE"
_UPDATE = f"""
UPDATE products p SET name = $4, price = $5, currency = $6, category = $7, description = $8,
  sku = $9, stock = $10, tags = $11, state = $12, version = version + 1, updated_at = now()
WHERE p.workspace_id = $1 AND p.id = $2 AND p.version = $3
RETURNING {_COLUMNS}
"""
_FILTERS = """
  p.workspace_id = $1
  AND p.state = $2
  AND ($3::text IS NULL OR p.search LIKE $3 ESCAPE '\\')
  AND ($4::text IS NULL OR p.category = $4)
  AND ($5::text[] IS NULL OR p.tags @> $5)
  AND ($6::text IS NULL OR p.currency = $6)
  AND ($7::numeric IS NULL OR p.price >= $7)
  AND ($8::numeric IS NULL OR p.price <= $8)
  AND ($9::boolean IS NULL OR (p.stock IS NULL OR p.stock > 0) = $9)
"""
_COUNT = f"SELECT count(*) FROM products p WHERE {_FILTERS}"
_PUT_IMAGE = """
WITH before AS (
  SELECT thumbnail_id FROM product_images WHERE workspace_id = $1 AND product_id = $2
), put AS (
  INSERT INTO product_images (product_id, workspace_id, file_id, thumbnail_id)
  VALUES ($2, $1, $3, $4)
  ON CONFLICT (product_id) DO UPDATE
  SET file_id = EXCLUDED.file_id, thumbnail_id = EXCLUDED.thumbnail_id
)
SELECT thumbnail_id FROM before
"""
_DROP_IMAGE = """
DELETE FROM product_images WHERE workspace_id = $1 AND product_id = $2 RETURNING thumbnail_id
"""
_IMAGES = """
SELECT product_id, file_id, thumbnail_id FROM product_images
WHERE workspace_id = $1 AND product_id = ANY($2)
"""
_ADD_WAIT = """
INSERT INTO product_waits AS w (id, workspace_id, product_id, recipient_id, email)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (product_id, recipient_id, email) DO UPDATE SET email = w.email
RETURNING w.id, w.product_id, w.recipient_id, w.email, w.created_at
"""
_WAITS = """
SELECT w.id, w.product_id, w.recipient_id, w.email, w.created_at FROM product_waits w
WHERE w.workspace_id = $1 AND w.product_id = $2 AND ($3::uuid IS NULL OR w.id > $3)
ORDER BY w.id LIMIT $4
"""
_TAKE_WAITS = """
DELETE FROM product_waits WHERE id IN (
  SELECT id FROM product_waits WHERE workspace_id = $1 AND product_id = $2
  ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
) AND workspace_id = $1
RETURNING id, product_id, recipient_id, email, created_at
"""
_BY_WORDS = search.by_words("products", "bigint", "name")
_BY_LIKENESS = search.by_likeness("products", "bigint", "name")
_PLAN_EACH_TIME = "SET LOCAL plan_cache_mode = force_custom_plan"


def _page(order: Order) -> str:
    """The statement of one order; $10 and $11 are where the page before ended."""
    beyond, way = ("<", "DESC") if order.is_down else (">", "ASC")
    return f"""
SELECT {_COLUMNS} FROM products p
WHERE {_FILTERS} AND {order.condition}
  AND ($10::{order.kind} IS NULL OR (p.{order.column}, p.id) {beyond} ($10, $11::bigint))
ORDER BY p.{order.column} {way}, p.id {way} LIMIT $12 OFFSET $13
"""


PAGES = {sort: _page(order) for sort, order in ORDERS.items()}


def _product(row: Row) -> Product:
    fields: dict[str, Any] = dict(row)
    tags, state = tuple(fields.pop("tags")), ProductState(fields.pop("state"))
    return Product(**fields, tags=tags, state=state)


def _chosen(new: NewProduct) -> tuple[object, ...]:
    return (
        new.name,
        new.price,
        new.currency,
        new.category,
        new.description,
        new.sku,
        new.stock,
        list(new.tags),
    )


async def insert(tx: Tx, workspace_id: UUID, new: NewProduct) -> Product | None:
    """Add a product; None if its SKU is taken, and then the transaction can only end."""
    return await _write(tx, _INSERT, workspace_id, *_chosen(new))


async def insert_many(
    tx: Tx, workspace_id: UUID, rows: Sequence[dict[str, Any]]
) -> list[tuple[int, str | None]]:
    """Add products, but for those whose SKU is taken; give `[(id, sku)]` of those made."""
    made = await tx.fetch(_INSERT_MANY, workspace_id, list(rows))
    return [(row["id"], row["sku"]) for row in made]


async def reprice(tx: Tx, workspace_id: UUID, category: str | None, percent: Decimal) -> list[int]:
    """Change prices by `percent`, within what a price may be; give the ids of the products."""
    rows = await tx.fetch(_REPRICE, workspace_id, category, percent)
    return [row["id"] for row in rows]


async def find(tx: Tx, workspace_id: UUID, product_id: ProductId) -> Product | None:
    """Find a product, a deleted one too."""
    row = await tx.fetchrow(_FIND, workspace_id, product_id)
    return _product(row) if row else None


async def lock(tx: Tx, workspace_id: UUID, product_id: ProductId) -> Product | None:
    """Find a product and let nobody else change it until the transaction ends."""
    row = await tx.fetchrow(_LOCK, workspace_id, product_id)
    return _product(row) if row else None


async def update(tx: Tx, wanted: Product) -> Product | None:
    """Write a product that is locked; None if its SKU is taken, as in `insert`."""
    key = (wanted.workspace_id, wanted.id, wanted.version)
    return await _write(tx, _UPDATE, *key, *_chosen(wanted), wanted.state)


async def _write(tx: Tx, statement: str, *arguments: object) -> Product | None:
    try:
        row = await tx.fetchrow(statement, *arguments)
    except UniqueViolationError:
        return None
    return _product(row) if row else None


async def page(
    tx: Tx, workspace_id: UUID, wanted: Filter, sort: ProductSort, keyset: Keyset, *, skip: int = 0
) -> list[Product]:
    """Read one product more than the page holds."""
    name, product_id = keyset.after or (None, None)
    key = None if name is None else ORDERS[sort].read(str(name))
    await tx.execute(_PLAN_EACH_TIME)
    rows = await tx.fetch(
        PAGES[sort], *_arguments(workspace_id, wanted), key, product_id, keyset.limit + 1, skip
    )
    return [_product(row) for row in rows]


async def put_image(
    tx: Tx, workspace_id: UUID, product_id: ProductId, file_id: UUID, thumbnail_id: UUID
) -> UUID | None:
    """Give a product an image; the file of the thumbnail that it had before, if it had one."""
    found: UUID | None = await tx.fetchval(
        _PUT_IMAGE, workspace_id, product_id, file_id, thumbnail_id
    )
    return found


async def drop_image(tx: Tx, workspace_id: UUID, product_id: ProductId) -> UUID | None:
    """Take an image away; the file of its thumbnail, if there was one."""
    found: UUID | None = await tx.fetchval(_DROP_IMAGE, workspace_id, product_id)
    return found


async def images(
    tx: Tx, workspace_id: UUID, ids: Sequence[ProductId]
) -> dict[ProductId, tuple[UUID, UUID]]:
    """The files of images and thumbnails of those of these products that have one."""
    rows = await tx.fetch(_IMAGES, workspace_id, ids)
    return {ProductId(row["product_id"]): (row["file_id"], row["thumbnail_id"]) for row in rows}


async def count(tx: Tx, workspace_id: UUID, wanted: Filter) -> int:
    """Count all products that a filter lets through."""
    await tx.execute(_PLAN_EACH_TIME)
    return await tx.fetchval(_COUNT, *_arguments(workspace_id, wanted))


async def find_hits(tx: Tx, workspace_id: UUID, wanted: search.Wanted) -> Sequence[search.Hit]:
    """Search names, SKUs and categories."""
    after_id = None if wanted.after_id is None else int(wanted.after_id)
    statements = search.Statements(_BY_WORDS, _BY_LIKENESS)
    return await search.find(tx, statements, workspace_id, replace(wanted, after_id=after_id))


def _arguments(workspace_id: UUID, wanted: Filter) -> tuple[object, ...]:
    return (
        workspace_id,
        wanted.state,
        wanted.pattern,
        wanted.category,
        None if wanted.tags is None else list(wanted.tags),
        wanted.currency,
        wanted.min_price,
        wanted.max_price,
        wanted.in_stock,
    )


def _wait(row: Row) -> Wait:
    fields: dict[str, Any] = dict(row)
    recipient_id = fields.pop("recipient_id")
    return Wait(**fields, recipient=None if recipient_id is None else RECIPIENT.show(recipient_id))


async def add_wait(
    tx: Tx, workspace_id: UUID, product_id: ProductId, recipient_id: UUID | None, email: str | None
) -> Wait:
    """Let somebody wait for a product, if they do not already."""
    row = await tx.fetchrow(_ADD_WAIT, ids.fresh(), workspace_id, product_id, recipient_id, email)
    assert row is not None  # noqa: S101  the statement gives the row in either case
    return _wait(row)


async def waits(tx: Tx, workspace_id: UUID, product_id: ProductId, keyset: Keyset) -> list[Wait]:
    """Read one page of those who wait, the first first, and one more."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_WAITS, workspace_id, product_id, after, keyset.limit + 1)
    return [_wait(row) for row in rows]


async def take_waits(tx: Tx, workspace_id: UUID, product_id: ProductId, limit: int) -> list[Wait]:
    """Let up to `limit` wait no longer, and give them."""
    return [_wait(row) for row in await tx.fetch(_TAKE_WAITS, workspace_id, product_id, limit)]
