"""A database beside the one that the product's worker looks into."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from posthouse.kernel import ids
from posthouse.operate.migrate import migrate


@asynccontextmanager
async def own_database(url: str) -> AsyncGenerator[str]:
    """A migrated database on the same server: no other worker takes what is in it."""
    name = f"own_{ids.fresh().hex}"
    own = url.replace("/posthouse?", f"/{name}?")
    assert own != url, url
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await migrate(own)
        yield own
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()
