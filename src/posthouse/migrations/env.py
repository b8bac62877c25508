"""Runs migrations on the connection that `posthouse.operate.migrate` hands over."""

from importlib import import_module

from alembic import context
from sqlalchemy import Connection

from posthouse.kernel.tables import metadata
from posthouse.migrations import is_ours

# Importing a slice's tables adds them to the metadata.
for name in ("accounts", "links"):
    import_module(f"posthouse.{name}.tables")


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
