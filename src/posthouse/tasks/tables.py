"""The tables of tasks: the schema, for Alembic only.

Tasks lie below accounts, so their `workspace_id` has no foreign key, like the kernel's.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
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

from posthouse.kernel.tables import NOW, TIME, made_at, metadata

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("ready_at", TIME, nullable=False),
    Column("run_at", TIME, nullable=False),
    Column("deadline_at", TIME),
    Column("started_at", TIME),
    Column("finished_at", TIME),
    Column("lease_until", TIME),
    Column("token", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("total", BigInteger),
    Column("message", Text, nullable=False, server_default=""),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("cancel_by", TIME),
    Column("schedule_id", Uuid),
    Column("created_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    made_at(),
    CheckConstraint(
        "state IN ('waiting', 'ready', 'running', 'completed', 'failed', 'dead', 'cancelled')",
        name="state",
    ),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    CheckConstraint("state <> 'completed' OR error IS NULL", name="completed_without_error"),
    Index(None, "workspace_id", "id"),
    Index(
        "ix_tasks_ready",
        "kind",
        "workspace_id",
        text("priority DESC"),
        "ready_at",
        "id",
        postgresql_where=text("state = 'ready'"),
    ),
    Index("ix_tasks_waiting", "ready_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_tasks_running", "kind", postgresql_where=text("state = 'running'")),
    Index("ix_tasks_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    # Room on the page for the next version of a row: its progress is written again and again.
    postgresql_with={"fillfactor": 70},
)

task_schedules = Table(
    "task_schedules",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("is_paused", Boolean, nullable=False, server_default=text("false")),
    Column("next_at", TIME, nullable=False),
    Column("last_at", TIME),
    Column("created_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    made_at(),
    Index(None, "workspace_id", "id"),
    Index("ix_task_schedules_next_at", "next_at", postgresql_where=text("NOT is_paused")),
)

# What was sent to be imported; it comes before its task, so it refers to none.
imports = Table(
    "imports",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", Text),
    Column("manner", Text, nullable=False),
    Column("digest", LargeBinary),
    Column("size_bytes", BigInteger),
    Column("touched_at", TIME, nullable=False, server_default=NOW),
    UniqueConstraint("workspace_id", "actor", "key"),
    Index(None, "touched_at"),
)

_OF_AN_IMPORT = "imports.task_id"

import_pieces = Table(
    "import_pieces",
    metadata,
    Column("task_id", Uuid, ForeignKey(_OF_AN_IMPORT, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

import_problems = Table(
    "import_problems",
    metadata,
    Column("task_id", Uuid, ForeignKey(_OF_AN_IMPORT, ondelete="CASCADE"), primary_key=True),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("field", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
)
