"""The tables of links: the schema, for Alembic only.

`clicks` is partitioned by day (see `posthouse.links.partitions`), so old days are dropped, not
deleted. Foreign keys point to accounts only.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from posthouse.kernel.tables import NOW, TIME, Xid8, made_at, metadata

domains = Table(
    "domains",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE")),
    Column("host", Text, nullable=False, unique=True),
    Column("alias_of", Uuid, ForeignKey("domains.id")),
    Column("verified_at", TIME),
    made_at(),
    CheckConstraint("host = lower(host)", name="host_is_lower_case"),
)

links = Table(
    "links",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id"), nullable=False),
    Column("domain_id", Uuid, ForeignKey("domains.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("notes", Text, nullable=False, server_default=""),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("utm", JSONB, nullable=False, server_default=text("'{}'")),
    Column("redirect_status", SmallInteger, nullable=False, server_default=text("302")),
    Column("forwards_query", Boolean, nullable=False, server_default=text("false")),
    Column("forwards_path", Boolean, nullable=False, server_default=text("false")),
    Column("valid_from", TIME),
    Column("valid_until", TIME),
    Column("max_clicks", BigInteger),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("password_hash", Text),
    Column("state", Text, nullable=False, server_default="active"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("tx", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("created_by", Text, nullable=False),
    made_at(),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column(
        "search",
        Text,
        Computed("lower(code || ' ' || title || ' ' || \"left\"(url, 1000))", persisted=True),
    ),
    UniqueConstraint("domain_id", "code"),
    CheckConstraint("redirect_status IN (301, 302, 307, 308)", name="redirect_status"),
    CheckConstraint("state IN ('active', 'disabled', 'deleted')", name="state"),
    CheckConstraint("max_clicks > 0", name="max_clicks"),
    CheckConstraint("valid_from < valid_until", name="validity"),
    Index(None, "workspace_id", "id"),
    Index(None, "workspace_id", "tx", "id"),
    Index(None, "tags", postgresql_using="gin"),
    Index(None, "search", postgresql_using="gin", postgresql_ops={"search": "gin_trgm_ops"}),
)

clicks = Table(
    "clicks",
    metadata,
    Column("at", TIME, nullable=False),
    Column("workspace_id", Uuid, nullable=False),
    Column("link_id", Uuid, nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("class", SmallInteger, nullable=False),
    Column("visitor", BigInteger, nullable=False),
    Column("referrer", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("browser", Text, nullable=False),
    Column("os", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index(None, "link_id", "at"),
    postgresql_partition_by="RANGE (at)",
)

click_rollups = Table(
    "click_rollups",
    metadata,
    Column("link_id", Uuid, primary_key=True),
    Column("dimension", SmallInteger, primary_key=True),
    Column("slot", TIME, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("class", SmallInteger, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("clicks", BigInteger, nullable=False),
)

click_uniques = Table(
    "click_uniques",
    metadata,
    Column("link_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
    Column("estimate", BigInteger, nullable=False),
)

click_offsets = Table(
    "click_offsets",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("last_id", Text, nullable=False),
    Column("restarts", Integer, nullable=False, server_default=text("0")),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
)

click_salts = Table(
    "click_salts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
)

click_batches = Table(
    "click_batches",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("noted_at", TIME, nullable=False, server_default=NOW),
)
