"""Tasks and their schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

# A task ends once: only a retry leads out of its end, and only a worker that holds it completes it.
_GUARD = """
CREATE FUNCTION refuse_task_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (CASE OLD.state
    WHEN 'waiting' THEN NEW.state IN ('ready', 'cancelled')
    WHEN 'ready' THEN NEW.state IN ('running', 'cancelled')
    WHEN 'running' THEN true
    WHEN 'completed' THEN false
    ELSE NEW.state = 'ready'
  END) THEN
    RAISE EXCEPTION 'a task does not go from % to %', OLD.state, NEW.state
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
_WATCH = """
CREATE TRIGGER tasks_step BEFORE UPDATE OF state ON tasks FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION refuse_task_step()
"""


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("input", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("ready_at", _TIME, nullable=False),
        sa.Column("run_at", _TIME, nullable=False),
        sa.Column("deadline_at", _TIME),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("lease_until", _TIME),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger()),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("result", postgresql.JSONB()),
        sa.Column("error", postgresql.JSONB()),
        sa.Column("cancel_by", _TIME),
        sa.Column("schedule_id", sa.Uuid()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'ready', 'running', 'completed', 'failed', 'dead', 'cancelled')",
            name=op.f("ck_tasks_state"),
        ),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_tasks_lease")
        ),
        sa.CheckConstraint(
            "state <> 'completed' OR error IS NULL", name=op.f("ck_tasks_completed_without_error")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(op.f("ix_tasks_workspace_id_id"), "tasks", ["workspace_id", "id"])
    op.create_index(
        "ix_tasks_ready",
        "tasks",
        ["kind", "workspace_id", sa.text("priority DESC"), "ready_at", "id"],
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_tasks_waiting", "tasks", ["ready_at"], postgresql_where=sa.text("state = 'waiting'")
    )
    op.create_index(
        "ix_tasks_running", "tasks", ["kind"], postgresql_where=sa.text("state = 'running'")
    )
    op.create_index(
        "ix_tasks_finished_at",
        "tasks",
        ["finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_table(
        "task_schedules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("input", postgresql.JSONB(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_schedules")),
    )
    op.create_index(
        op.f("ix_task_schedules_workspace_id_id"), "task_schedules", ["workspace_id", "id"]
    )
    op.create_index(
        "ix_task_schedules_next_at",
        "task_schedules",
        ["next_at"],
        postgresql_where=sa.text("NOT is_paused"),
    )
    op.create_table(
        "imports",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("manner", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("touched_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_imports")),
        sa.UniqueConstraint(
            "workspace_id", "actor", "key", name=op.f("uq_imports_workspace_id_actor_key")
        ),
    )
    op.create_index(op.f("ix_imports_touched_at"), "imports", ["touched_at"])
    op.create_table(
        "import_pieces",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["imports.task_id"],
            name=op.f("fk_import_pieces_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("pk_import_pieces")),
    )
    op.create_table(
        "import_problems",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["imports.task_id"],
            name=op.f("fk_import_problems_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", "id", name=op.f("pk_import_problems")),
    )
    op.execute(_GUARD)
    op.execute(_WATCH)
