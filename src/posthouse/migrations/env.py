"""Runs migrations on the connection that `posthouse.operate.migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from posthouse.kernel.tables import metadata
from posthouse.migrations import is_ours, table_modules

table_modules()
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
