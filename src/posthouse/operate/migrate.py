"""`posthouse migrate`: bring the schema to this version, one process at a time.

A statement that has to wait for a lock gives up after 100 ms and the migration is tried again,
so that a migration never stops the traffic behind it.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncpg

from posthouse.kernel.db import translate
from posthouse.kernel.errors import DatabaseBusyError, PosthouseError
from posthouse.migrations import FOLDER, head, is_ours, revisions

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK = "SELECT pg_advisory_lock(7105201)"
_TRIES = 50
_PAUSE_S = 0.2


class SchemaError(PosthouseError):
    """The schema cannot be used by this version."""

    code = "schema"
    title = "The schema of the database does not fit this version"


async def present(url: str) -> str | None:
    """The revision of the database, or None if it is empty."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
            return None
        return await connection.fetchval("SELECT version_num FROM alembic_version")
    finally:
        await connection.close(timeout=5)


async def migrate(url: str) -> bool:
    """Bring the database to `head`; give whether there was anything to do.

    Raises:
        SchemaError: the database is newer than this program, or a lock never came free.
        DatabaseUnavailableError: Postgres does not answer.
    """
    try:
        found = await present(url)
        if found == head():
            return False
        if found is not None and found not in revisions():
            raise SchemaError(f"It has revision {found}, which is newer than this program.")
        for _ in range(_TRIES):
            try:
                await _with_alembic(url, _upgrade)
            except Exception as error:
                cause = getattr(error, "orig", error)
                ours = translate(getattr(cause, "__cause__", None) or cause)
                if not isinstance(ours, DatabaseBusyError):
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return True
    except (asyncpg.PostgresError, OSError) as error:
        raise translate(error) or error from error
    raise SchemaError("A lock did not come free; find the long transaction and try again.")


async def difference(url: str) -> list[Any]:
    """What Alembic would change to make the database as the tables say; empty is right."""
    found: list[Any] = []

    def compare(connection: "Connection") -> None:
        from alembic.autogenerate import compare_metadata  # noqa: PLC0415  slow to import
        from alembic.migration import MigrationContext  # noqa: PLC0415

        from posthouse.kernel.tables import metadata  # noqa: PLC0415

        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_object": is_ours,
            },
        )
        found.extend(compare_metadata(context, metadata))

    await _with_alembic(url, compare)
    return found


async def _with_alembic(url: str, work: Callable[["Connection"], None]) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  slow to import
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    async def connect() -> Any:
        return await asyncpg.connect(
            url, timeout=5, server_settings={"lock_timeout": "100", "timezone": "UTC"}
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    lock = await asyncpg.connect(url, timeout=5)
    try:
        await lock.execute(_LOCK)
        async with engine.connect() as connection:
            await connection.run_sync(work)
            await connection.commit()
    finally:
        await lock.close(timeout=5)
        await engine.dispose()


def _upgrade(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415  slow to import
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main(url: str) -> int:
    """`posthouse migrate`: do it, say what was done, and give the exit code."""
    try:
        has_changed = asyncio.run(migrate(url))
    except PosthouseError as error:
        sys.stderr.write(f"{error.title}: {error.detail or error.code}\n")
        return error.exit_code
    sys.stdout.write(f"The schema is at {head()}{'' if has_changed else ' already'}.\n")
    return 0
