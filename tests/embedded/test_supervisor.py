"""What dies is started again, what will not stop is made to, and errors quote the last words."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from posthouse.embedded import EmbeddedError, embedded_servers, logs
from posthouse.embedded.process import Command, Process, words_for
from posthouse.embedded.supervisor import Child, Supervisor
from tests.embedded.parents import is_running, mode_of, until_gone

STUBBORN = """
import signal, time, pathlib, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def _child(script: str, *words: str, mark: Path, name: str = "child", **options: object) -> Child:
    async def is_ready() -> bool:
        return mode_of(mark) is not None

    command = Command(
        argv=(sys.executable, "-c", script, str(mark), *words),
        env={"PATH": os.defpath},
        log_path=mark.with_suffix(".log"),
    )
    return Child(name=name, command=command, is_ready=is_ready, **options)  # type: ignore[arg-type]


async def test_killed_servers_come_back_with_their_data(data: Path) -> None:
    async with embedded_servers(data) as servers:
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        connection.terminate()
        async with Redis.from_url(servers.valkey_url, socket_timeout=5) as cache:
            await cache.set("kept", "7")
        await asyncio.sleep(1.1)  # Valkey syncs its file every second
        old = servers.postgres_pid, servers.valkey_pid
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        await until_gone(*old)
        async with asyncio.timeout(15):
            while True:
                try:
                    connection = await asyncpg.connect(servers.database_url, timeout=5)
                    async with Redis.from_url(servers.valkey_url, socket_timeout=5) as cache:
                        assert await cache.get("kept") == b"7"
                    break
                except (OSError, asyncpg.PostgresError, ConnectionError):
                    await asyncio.sleep(0.05)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()
        assert servers.supervisor.restarts("Postgres") >= 1
        assert servers.supervisor.restarts("Valkey") >= 1


async def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor()
    await supervisor.start(_child(STUBBORN, mark=tmp_path / "mark", stop_timeout_s=0.1))
    pid = supervisor.pid("child")
    await supervisor.stop()
    assert not is_running(pid)


async def test_hurry_ends_a_stop_that_waits(tmp_path: Path) -> None:
    supervisor = Supervisor()
    await supervisor.start(_child(STUBBORN, mark=tmp_path / "mark", stop_timeout_s=60))
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.stop())
        await asyncio.sleep(0.05)
        supervisor.hurry()


async def test_a_child_that_dies_at_once_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor()
    script = "import sys; sys.exit('the disk is full of cats')"
    with pytest.raises(EmbeddedError, match=r"(?s)exit code 1.*full of cats"):
        await supervisor.start(_child(script, mark=tmp_path / "mark"))
    await supervisor.stop()


async def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    supervisor = Supervisor()
    with pytest.raises(EmbeddedError, match=r"not ready after 0\.2 s"):
        await supervisor.start(
            _child("import time; time.sleep(60)", mark=tmp_path / "mark", ready_timeout_s=0.2)
        )
    await supervisor.stop()


async def test_a_program_that_is_missing_is_an_error() -> None:
    async def never() -> bool:
        return False

    command = Command(argv=("/nowhere/at/all",), env={})
    with pytest.raises(EmbeddedError, match="cannot be started"):
        await Supervisor().start(Child(name="nobody", command=command, is_ready=never))


async def test_a_child_has_a_session_of_its_own_so_ctrl_c_does_not_reach_it() -> None:
    process = Process(Command(argv=("sleep", "60"), env={"PATH": os.defpath}))
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    process.kill()
    assert words_for(await process.wait()) == "SIGKILL"


def test_a_long_log_is_moved_away_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "postgres.log"
    log.write_text("x" * (logs.LIMIT_BYTES + 1))
    logs.bound(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "postgres.log.1").stat().st_size == logs.LIMIT_BYTES + 1
