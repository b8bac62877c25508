"""The catalog's products."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from posthouse.kernel.tables import Xid8

revision = "0003"
down_revision = "0002"

_SEARCH = "lower(' ' || name || ' ' || coalesce(sku, '') || ' ' || category)"
_ORDERS = (
    ["workspace_id", "id"],
    ["workspace_id", "tx", "id"],
    ["workspace_id", "name", "id"],
    ["workspace_id", "price", "id"],
    ["workspace_id", "category", "id"],
)


def upgrade() -> None:
    """Bring the schema forward."""
    time, now = sa.DateTime(timezone=True), sa.text("now()")
    op.create_table(
        "products",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("stock", sa.BigInteger(), nullable=True),
        sa.Column(
            "tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("tx", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("updated_at", time, server_default=now, nullable=False),
        sa.Column("search", sa.Text(), sa.Computed(_SEARCH, persisted=True), nullable=True),
        sa.CheckConstraint("price > 0", name=op.f("ck_products_price")),
        sa.CheckConstraint("stock >= 0", name=op.f("ck_products_stock")),
        sa.CheckConstraint("state IN ('active', 'deleted')", name=op.f("ck_products_state")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_products_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
    )
    for columns in _ORDERS:
        op.create_index(op.f(f"ix_products_{'_'.join(columns)}"), "products", columns)
    op.create_index(
        "uq_products_workspace_id_sku",
        "products",
        ["workspace_id", "sku"],
        unique=True,
        postgresql_where=sa.text("state <> 'deleted'"),
    )
    op.create_index(op.f("ix_products_tags"), "products", ["tags"], postgresql_using="gin")
    op.create_index(
        op.f("ix_products_search"),
        "products",
        ["search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
