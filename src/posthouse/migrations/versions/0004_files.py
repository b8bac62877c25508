"""Files: what is stored, what is being sent, what was made of it, and recipes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

# What a workspace uses is what its blobs have, whoever writes them.
_COUNT = """
CREATE FUNCTION count_blob() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO file_usage (workspace_id, used_bytes) VALUES (NEW.workspace_id, NEW.size_bytes)
    ON CONFLICT (workspace_id) DO UPDATE
    SET used_bytes = file_usage.used_bytes + EXCLUDED.used_bytes;
  ELSE
    UPDATE file_usage SET used_bytes = used_bytes - OLD.size_bytes
    WHERE workspace_id = OLD.workspace_id;
  END IF;
  RETURN NULL;
END $$
"""
_WATCH = """
CREATE TRIGGER blobs_count AFTER INSERT OR DELETE ON blobs FOR EACH ROW
EXECUTE FUNCTION count_blob()
"""


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "blobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_blobs_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blobs")),
        sa.UniqueConstraint("key", name=op.f("uq_blobs_key")),
        sa.UniqueConstraint("workspace_id", "sha256", name="uq_blobs_workspace_id_sha256"),
    )
    op.create_table(
        "file_usage",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("reserved_bytes >= 0", name=op.f("ck_file_usage_reserved_bytes")),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_file_usage_used_bytes")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_file_usage_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_file_usage")),
    )
    op.create_table(
        "recipes",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("steps", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_recipes_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "name", "version", name=op.f("pk_recipes")),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("manner", sa.Text(), server_default="", nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declared_type", sa.Text(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(), nullable=True),
        sa.Column("recipe_name", sa.Text(), nullable=True),
        sa.Column("recipe_version", sa.Integer(), nullable=True),
        sa.Column("expires_in_s", sa.BigInteger(), nullable=True),
        sa.Column("metadata", sa.Text(), server_default="", nullable=False),
        sa.Column("length_bytes", sa.BigInteger(), nullable=True),
        sa.Column("offset_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "kind IN ('single', 'tus', 'partial', 'final')", name=op.f("ck_uploads_kind")
        ),
        sa.CheckConstraint("offset_bytes <= length_bytes", name=op.f("ck_uploads_offset_bytes")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_uploads_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint(
            "workspace_id", "created_by", "idempotency_key", name="uq_uploads_idempotency_key"
        ),
    )
    op.create_index(op.f("ix_uploads_expires_at"), "uploads", ["expires_at"], unique=False)
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declared_type", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(), nullable=True),
        sa.Column("recipe_name", sa.Text(), nullable=True),
        sa.Column("recipe_version", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("receipt", postgresql.JSONB(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('completed', 'failed', 'cancelled')", name=op.f("ck_files_outcome")
        ),
        sa.CheckConstraint("(recipe IS NULL) = (task_id IS NULL)", name=op.f("ck_files_task_id")),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("fk_files_blob_id")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_files_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_blob_id"), "files", ["blob_id"], unique=False)
    op.create_index(
        "ix_files_expires_at",
        "files",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_files_workspace_id_id"), "files", ["workspace_id", "id"], unique=False)
    op.create_table(
        "made_outputs",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("work", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("source_blob_id", sa.Uuid(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("fk_made_outputs_blob_id")),
        sa.ForeignKeyConstraint(
            ["source_blob_id"],
            ["blobs.id"],
            name=op.f("fk_made_outputs_source_blob_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_made_outputs_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "work", "position", name=op.f("pk_made_outputs")),
    )
    op.create_index(op.f("ix_made_outputs_blob_id"), "made_outputs", ["blob_id"], unique=False)
    op.create_index(
        op.f("ix_made_outputs_source_blob_id"), "made_outputs", ["source_blob_id"], unique=False
    )
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["uploads.id"],
            name=op.f("fk_upload_parts_upload_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "offset_bytes", name=op.f("pk_upload_parts")),
        sa.UniqueConstraint("key", name=op.f("uq_upload_parts_key")),
    )
    op.create_table(
        "file_results",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("fk_file_results_blob_id")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_results_file_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_file_results_workspace_id")
        ),
        sa.PrimaryKeyConstraint("file_id", "name", name=op.f("pk_file_results")),
    )
    op.create_index(op.f("ix_file_results_blob_id"), "file_results", ["blob_id"], unique=False)
    op.create_index(op.f("ix_uploads_key"), "uploads", ["key"], unique=False)
    op.execute(_COUNT)
    op.execute(_WATCH)
