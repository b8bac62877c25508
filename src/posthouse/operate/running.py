"""Examine the servers that run now: answers, durability, schema, extensions."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from posthouse import migrations
from posthouse.embedded import lockfile, postgres, programs, valkey
from posthouse.embedded.place import socket_folder
from posthouse.kernel.blobs import ObjectBlobs
from posthouse.kernel.errors import PosthouseError
from posthouse.operate.findings import Finding, fail, fine, warn

CONNECT_TIMEOUT_S = 5.0
ASK_TIMEOUT_S = 5.0
DURABLE = ("fsync", "synchronous_commit")
SCHEMA = "SELECT to_regclass('alembic_version')::text"
REVISION = "SELECT version_num FROM alembic_version"
TRIGRAMS = "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_trgm'"


async def examine_running(environ: Mapping[str, str], root: Path) -> list[Finding]:
    """Look at Postgres and Valkey: those that the environment names, else the embedded ones."""
    runs_here = lockfile.holder(root / "lock") is not None
    sockets = socket_folder(root)
    found: list[Finding] = []
    if url := environ.get("POSTHOUSE_DATABASE_URL") or (
        runs_here and postgres.database_url(sockets)
    ):
        found += [finding async for finding in _postgres(url)]
    if url := environ.get("POSTHOUSE_VALKEY_URL") or (runs_here and valkey.valkey_url(sockets)):
        found.append(await _valkey(url))
    found.append(await _storage(environ.get("POSTHOUSE_BLOBS_URL") or (root / "blobs").as_uri()))
    return found


async def _storage(url: str) -> Finding:
    """Whether files can be kept; a folder that is not there yet is made by the first upload."""
    blobs = ObjectBlobs(url)
    if blobs.folder is not None:
        folder = blobs.folder
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            return fail("storage", f"{folder} cannot be written.", "Run posthouse as its owner.")
        return fine("storage", f"Files are kept in {folder}.")
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            async for _ in blobs.walk("blobs"):
                break
    except (TimeoutError, PosthouseError):
        return fail("storage", "The bucket does not answer.", "Look at POSTHOUSE_BLOBS_URL.")
    return fine("storage", "The bucket answers.")


async def _postgres(url: str) -> AsyncIterator[Finding]:
    import asyncpg  # noqa: PLC0415 - 25 MB that only a running doctor needs

    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        yield fail(
            "postgres",
            f"It does not answer: {error or type(error).__name__}.",
            "Start it, or correct POSTHOUSE_DATABASE_URL.",
        )
        return
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            version = str(await connection.fetchval("SHOW server_version_num"))
            durable = [str(await connection.fetchval(f"SHOW {name}")) for name in DURABLE]
            has_schema = await connection.fetchval(SCHEMA)
            revision = await connection.fetchval(REVISION) if has_schema else None
            trigrams = await connection.fetchval(TRIGRAMS)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    yield _version(int(version) // 10_000)
    yield _durability(dict(zip(DURABLE, durable, strict=True)))
    yield _schema(revision)
    yield _trigrams(trigrams)


async def _valkey(url: str) -> Finding:
    from redis.asyncio import Redis  # noqa: PLC0415 - as above
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        async with (
            asyncio.timeout(ASK_TIMEOUT_S),
            Redis.from_url(url, socket_timeout=ASK_TIMEOUT_S) as client,  # pyright: ignore[reportUnknownMemberType] - its options have no types
        ):
            await client.get("posthouse:doctor")
    except (OSError, TimeoutError, ValueError, RedisError) as error:
        return warn(
            "valkey",
            f"It does not answer: {error or type(error).__name__}.",
            "Posthouse works without it, slower. Start it, or correct POSTHOUSE_VALKEY_URL.",
        )
    return fine("valkey", "It answers.")


def _version(major: int) -> Finding:
    if major < programs.OLDEST_POSTGRES:
        do = f"Posthouse needs {programs.OLDEST_POSTGRES} or newer."
        return fail("postgres", f"It answers, and is version {major}.", do)
    return fine("postgres", f"It answers, and is version {major}.")


def _durability(settings: Mapping[str, str]) -> Finding:
    off = [name for name, value in settings.items() if value in {"off", "local"}]
    if off:
        return fail(
            "durability",
            f"{' and '.join(off)} is off: a crash loses what was accepted.",
            "Turn it on in postgresql.conf and reload.",
        )
    return fine("durability", "What is committed survives a crash.")


def _schema(revision: str | None) -> Finding:
    head = migrations.head()
    if revision is None:
        return fail("schema", "The database has no tables yet.", "Run: posthouse migrate")
    if revision == head:
        return fine("schema", f"At {revision}, as this version expects.")
    if revision in migrations.revisions():
        return fail("schema", f"At {revision}, older than {head}.", "Run: posthouse migrate")
    return fail(
        "schema",
        f"At {revision}, which this version ({head}) does not know.",
        "A newer posthouse has migrated it: install that version here too.",
    )


def _trigrams(version: str | None) -> Finding:
    if version is None:
        do = "Install PostgreSQL's contrib package on the database server."
        return fail("pg_trgm", "The extension is missing, and search needs it.", do)
    return fine("pg_trgm", f"Version {version} is available.")
