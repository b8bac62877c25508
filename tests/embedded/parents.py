"""A posthouse in a process of its own, for tests that kill it or run it as somebody else."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posthouse.embedded import embedded_servers

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Parent:
    """A running parent, and what it said about its servers."""

    process: asyncio.subprocess.Process
    database_url: str
    valkey_url: str
    pids: tuple[int, ...]

    async def end(self, number: signal.Signals) -> None:
        """Signal it and wait for its end and for that of its servers."""
        self.process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            await self.process.wait()


async def start_parent(data: Path, *, uid: int | None = None) -> Parent:
    """Start one, as `uid` if given.

    Raises:
        ChildProcessError: it did not start; with its stderr.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, str(data), str(uid or "")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(TIMEOUT_S):
        line = await process.stdout.readline()
        if not line:
            raise ChildProcessError((await process.stderr.read()).decode())
    said = json.loads(line)
    return Parent(process, said["database_url"], said["valkey_url"], tuple(said["pids"]))


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def until_gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    await until(lambda: not any(is_running(pid) for pid in pids))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.01)


def copy_as_is(source: Path, target: Path) -> Path:
    """Copy a data directory with its owners."""
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


def has_pid(files: Path) -> bool:
    """Whether a postmaster has written its pid file, and not only made it."""
    path = files / "postmaster.pid"
    return path.exists() and path.read_text(encoding="utf-8").count("\n") > 1


def mode_of(path: Path) -> int | None:
    """The permission bits of a path, None if it is gone."""
    return path.stat().st_mode & 0o777 if path.exists() else None


def owner_of(pid: int) -> int:
    """The uid that a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


async def _run(data: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with embedded_servers(data) as servers:
        said = {
            "database_url": servers.database_url,
            "valkey_url": servers.valkey_url,
            "pids": [servers.postgres_pid, servers.valkey_pid],
        }
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    if sys.argv[2]:
        os.setgroups([])
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))
    asyncio.run(_run(Path(sys.argv[1])))
