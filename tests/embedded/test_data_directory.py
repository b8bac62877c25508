"""A data directory keeps what it is given, and belongs to one posthouse at a time."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from posthouse.embedded import EmbeddedError, embedded_servers
from posthouse.embedded.account import server_account
from posthouse.embedded.lockfile import holder
from posthouse.embedded.place import socket_folder
from posthouse.embedded.postgres import serves
from posthouse.embedded.programs import find_postgres
from tests.embedded.parents import (
    copy_as_is,
    has_pid,
    is_running,
    mode_of,
    start_parent,
    until,
    until_gone,
)


async def _write(database_url: str, valkey_url: str) -> None:
    connection = await asyncpg.connect(database_url, timeout=5)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    await connection.close()
    async with Redis.from_url(valkey_url, socket_timeout=5) as cache:
        await cache.set("kept", "7")


async def _read(database_url: str, valkey_url: str) -> tuple[int, object]:
    connection = await asyncpg.connect(database_url, timeout=5)
    row = await connection.fetchval("SELECT n FROM kept")
    await connection.close()
    async with Redis.from_url(valkey_url, socket_timeout=5) as cache:
        return row, await cache.get("kept")


async def test_a_new_directory_is_made_private_and_the_servers_answer(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with embedded_servers(folder, durable=False) as servers:
        await _write(servers.database_url, servers.valkey_url)
        assert await _read(servers.database_url, servers.valkey_url) == (7, b"7")
        pids = servers.postgres_pid, servers.valkey_pid
    assert not any(is_running(pid) for pid in pids)
    assert folder.stat().st_mode & 0o777 == 0o700
    for each in ("postgres", "valkey", "run", "logs"):
        assert (folder / each).stat().st_mode & 0o777 == 0o700


async def test_a_second_start_finds_the_data(data: Path) -> None:
    async with embedded_servers(data) as servers:
        await _write(servers.database_url, servers.valkey_url)
    async with embedded_servers(data) as servers:
        assert await _read(servers.database_url, servers.valkey_url) == (7, b"7")


async def test_writes_are_durable_unless_it_is_told_otherwise(data: Path) -> None:
    async with embedded_servers(data) as servers:
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        said = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "timezone", "jit")]
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await connection.close()
    assert said == ["on", "UTC", "off"]


async def test_letters_of_every_language_are_letters(data: Path) -> None:
    async with embedded_servers(data, durable=False) as servers:
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        await connection.execute("CREATE EXTENSION pg_trgm")
        assert await connection.fetchval("SELECT lower('ПРИВЕТ É')") == "привет é"
        assert await connection.fetchval("SELECT similarity('ПРИВЕТ', 'привет')") == 1
        await connection.close()


async def test_a_second_posthouse_on_it_is_refused_with_the_pid(data: Path) -> None:
    async with embedded_servers(data, durable=False):
        assert holder(data / "lock") == os.getpid()
        with pytest.raises(EmbeddedError, match=rf"(?s)pid {os.getpid()}.*--data"):
            async with embedded_servers(data):
                pass
    assert holder(data / "lock") is None


async def test_a_killed_parent_leaves_nothing_running_and_loses_nothing(data: Path) -> None:
    parent = await start_parent(data)
    await _write(parent.database_url, parent.valkey_url)
    await asyncio.sleep(1.1)  # Valkey syncs its file every second
    await parent.end(signal.SIGKILL)
    async with embedded_servers(data) as servers:  # waits for the servers of the dead parent
        assert not any(is_running(pid) for pid in parent.pids)
        assert await _read(servers.database_url, servers.valkey_url) == (7, b"7")


async def test_everything_killed_at_once_loses_nothing_that_was_committed(data: Path) -> None:
    parent = await start_parent(data)
    await _write(parent.database_url, parent.valkey_url)
    for pid in (parent.process.pid, *parent.pids):
        os.kill(pid, signal.SIGKILL)
    await parent.process.wait()
    await until_gone(*parent.pids)
    async with embedded_servers(data) as servers:
        row, _ = await _read(servers.database_url, servers.valkey_url)
    assert row == 7


async def test_a_stale_pid_file_that_names_a_living_process_does_not_matter(data: Path) -> None:
    account = server_account(data / "nothing")
    other = await asyncio.create_subprocess_exec(
        *("sleep", "60"), user=account.uid if account else None
    )
    pid_file = data / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{other.pid}\n{data}\n1700000000\n5432\n\n\n")
    try:
        async with embedded_servers(data, durable=False) as servers:
            assert servers.postgres_pid
    finally:
        other.kill()
        await other.wait()


async def test_a_postgres_of_somebody_else_on_the_files_is_named(
    made: Path, open_folder: Path
) -> None:
    data = copy_as_is(made, open_folder / "data")
    data.chmod(0o755)
    files = data / "postgres"
    other = await asyncio.create_subprocess_exec(
        find_postgres() / "postgres",
        *("-D", files, "-c", "listen_addresses=", "-c", "unix_socket_directories=."),
        user=files.stat().st_uid,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: serves(other.pid, files) and has_pid(files))
        with pytest.raises(EmbeddedError, match=f"pid {other.pid}"):
            async with embedded_servers(data):
                pass
    finally:
        other.send_signal(signal.SIGINT)
        await other.wait()


async def test_half_made_files_are_made_again(tmp_path: Path) -> None:
    half = tmp_path / "data" / "postgres.unfinished"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with embedded_servers(tmp_path / "data", durable=False) as servers:
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert not half.exists()


async def test_a_path_too_long_for_a_socket_works(made: Path, tmp_path: Path) -> None:
    (tmp_path / ("long" * 30)).mkdir()
    data = copy_as_is(made, tmp_path / ("long" * 30) / "data")
    async with embedded_servers(data, durable=False) as servers:
        await _write(servers.database_url, servers.valkey_url)
        folder = socket_folder(data)
        assert folder.parent != data
        assert mode_of(folder) == 0o700
    assert mode_of(folder) is None
    async with embedded_servers(data, durable=False) as servers:
        assert (await _read(servers.database_url, servers.valkey_url))[0] == 7


async def test_an_unreadable_valkey_file_is_set_aside(data: Path) -> None:
    async with embedded_servers(data, durable=False):
        pass
    (log,) = (data / "valkey" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"*1\r\nnonsense that is not a command\r\n" * 3)
    with pytest.raises(EmbeddedError, match="Bad file format"):
        async with embedded_servers(data):
            pass
    async with embedded_servers(data) as servers:
        assert servers.valkey_pid
    assert [*(data / "valkey").glob("appendonlydir.broken-*")]


async def test_a_folder_without_postgres_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="POSTHOUSE_POSTGRES_BIN"):
        async with embedded_servers(data, tmp_path):
            pass


async def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="--data"):
        async with embedded_servers(tmp_path / "file"):
            pass
