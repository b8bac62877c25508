"""The tables of files: the schema, for Alembic only."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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
from sqlalchemy.dialects.postgresql import JSONB

from posthouse.kernel.tables import TIME, made_at, metadata


def _workspace(*, is_key: bool = False) -> Column[object]:
    owner = ForeignKey("workspaces.id")
    return Column("workspace_id", Uuid, owner, nullable=False, primary_key=is_key)


def _blob(name: str = "blob_id", *, ends_with: str | None = None) -> Column[object]:
    key = ForeignKey("blobs.id", ondelete=ends_with)
    return Column(name, Uuid, key, nullable=False, index=True)


# A trigger keeps file_usage.used_bytes the sum of a workspace's blobs.
blobs = Table(
    "blobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("sha256", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    made_at(),
    UniqueConstraint("workspace_id", "sha256", name="uq_blobs_workspace_id_sha256"),
)

file_usage = Table(
    "file_usage",
    metadata,
    _workspace(is_key=True),
    Column("used_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved_bytes", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("used_bytes >= 0", name="used_bytes"),
    CheckConstraint("reserved_bytes >= 0", name="reserved_bytes"),
)

files = Table(
    "files",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    _blob(),
    Column("name", Text, nullable=False),
    Column("declared_type", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("recipe", JSONB),
    Column("recipe_name", Text),
    Column("recipe_version", Integer),
    Column("task_id", Uuid),
    Column("outcome", Text),
    Column("problem", JSONB),
    Column("receipt", JSONB),
    Column("created_by", Text, nullable=False),
    made_at(),
    Column("expires_at", TIME),
    CheckConstraint("outcome IN ('completed', 'failed', 'cancelled')", name="outcome"),
    CheckConstraint("(recipe IS NULL) = (task_id IS NULL)", name="task_id"),
    Index(None, "workspace_id", "id"),
    Index("ix_files_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

file_results = Table(
    "file_results",
    metadata,
    Column("file_id", Uuid, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    _workspace(),
    Column("position", SmallInteger, nullable=False),
    _blob(),
    Column("media_type", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
)

# What a step made of a content, so that the same work is done once. `work` is the digest of the
# content, the step and the versions of its engines.
made_outputs = Table(
    "made_outputs",
    metadata,
    _workspace(is_key=True),
    Column("work", LargeBinary, primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("key", Text, nullable=False),
    _blob("source_blob_id", ends_with="CASCADE"),
    _blob(),
    Column("media_type", Text, nullable=False),
    Column("extension", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    made_at(),
)

# An upload under way. Its id becomes the id of the file. One by tus is held by a request for a
# while (`fence`, `lease_until`); one in a single request keeps its room while it is alive.
uploads = Table(
    "uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("created_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("manner", Text, nullable=False, server_default=""),
    Column("key", Text, index=True),  # of the bytes under way, until a blob has it
    Column("digest", LargeBinary),
    Column("name", Text, nullable=False),
    Column("declared_type", Text, nullable=False),
    Column("recipe", JSONB),
    Column("recipe_name", Text),
    Column("recipe_version", Integer),
    Column("expires_in_s", BigInteger),
    Column("metadata", Text, nullable=False, server_default=""),
    Column("length_bytes", BigInteger),
    Column("offset_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("lease_until", TIME),
    Column("is_done", Boolean, nullable=False, server_default=text("false")),
    made_at(),
    Column("expires_at", TIME, nullable=False, index=True),
    CheckConstraint("kind IN ('single', 'tus', 'partial', 'final')", name="kind"),
    CheckConstraint("offset_bytes <= length_bytes", name="offset_bytes"),
    UniqueConstraint(
        "workspace_id", "created_by", "idempotency_key", name="uq_uploads_idempotency_key"
    ),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload_id", Uuid, ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("offset_bytes", BigInteger, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("key", Text, nullable=False, unique=True),
)

recipes = Table(
    "recipes",
    metadata,
    _workspace(is_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("steps", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    made_at(),
)
