"""Runs migrations on the connection that `posthouse.operate.migrate` hands over."""

from importlib import import_module
from typing import Any

from alembic import context
from sqlalchemy import Connection

from posthouse.kernel.tables import metadata

# Importing a slice's tables adds them to the metadata.
for name in ("accounts", "links"):
    import_module(f"posthouse.{name}.tables")


def is_ours(_: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:  # noqa: FBT001
    """Leave the queue's own tables and the daily partitions of clicks to their keepers."""
    del kind, reflected, compare_to
    return not (name or "").startswith(("pgqueuer", "clicks_"))


connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_object=is_ours,
    compare_type=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
