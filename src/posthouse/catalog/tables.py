"""The table of the catalog: the schema, for Alembic only."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from posthouse.kernel.tables import NOW, TIME, Xid8, made_at, metadata

products = Table(
    "products",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("price", Numeric(12, 2), nullable=False),
    Column("currency", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("description", Text),
    Column("sku", Text),
    Column("stock", BigInteger),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("state", Text, nullable=False, server_default="active"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("tx", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    made_at(),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    # It begins with a blank, so that the pattern `% tv%` finds words that begin with tv.
    Column(
        "search",
        Text,
        Computed(
            "lower(' ' || name || ' ' || coalesce(sku, '') || ' ' || category)", persisted=True
        ),
    ),
    CheckConstraint("price > 0", name="price"),
    CheckConstraint("stock >= 0", name="stock"),
    CheckConstraint("state IN ('active', 'deleted')", name="state"),
    Index(None, "workspace_id", "id"),
    Index(None, "workspace_id", "tx", "id"),
    Index(None, "workspace_id", "name", "id"),
    Index(None, "workspace_id", "price", "id"),
    Index(None, "workspace_id", "category", "id"),
    Index(
        "uq_products_workspace_id_sku",
        "workspace_id",
        "sku",
        unique=True,
        postgresql_where=text("state <> 'deleted'"),
    ),
    Index(None, "tags", postgresql_using="gin"),
    Index(None, "search", postgresql_using="gin", postgresql_ops={"search": "gin_trgm_ops"}),
)

product_images = Table(
    "product_images",
    metadata,
    Column("product_id", BigInteger, ForeignKey("products.id"), primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id"), nullable=False),
    Column("file_id", Uuid, nullable=False),
    Column("thumbnail_id", Uuid, nullable=False),
)

# Who wants to hear when a product is back: a recipient's id, or an address.
product_waits = Table(
    "product_waits",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id"), nullable=False),
    Column("product_id", BigInteger, ForeignKey("products.id"), nullable=False),
    Column("recipient_id", Uuid),
    Column("email", Text),
    made_at(),
    CheckConstraint("(recipient_id IS NULL) <> (email IS NULL)", name="whom"),
    UniqueConstraint(
        "product_id",
        "recipient_id",
        "email",
        name="uq_product_waits_whom",
        postgresql_nulls_not_distinct=True,
    ),
)
