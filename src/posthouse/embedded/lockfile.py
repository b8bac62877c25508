"""One posthouse per data directory, by a lock that the kernel frees when its last holder dies.

Every child inherits the lock, so it is free only when the children of a killed parent are gone too.
"""

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from posthouse.embedded.errors import EmbeddedError

LEFTOVER_TIMEOUT_S = 40.0  # longer than any child's own time to stop
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class DataLock:
    """A held lock. `fd` is for children to inherit."""

    fd: int

    def release(self) -> None:
        """Give the lock back; children that still live keep it."""
        os.ftruncate(self.fd, 0)
        os.close(self.fd)


async def lock(path: Path, *, timeout_s: float = LEFTOVER_TIMEOUT_S) -> DataLock:
    """Take the lock at `path`; wait for children that a killed parent left to finish.

    Raises:
        EmbeddedError: another posthouse runs here, or its children do not go away.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(fd, path, timeout_s)
    except BaseException:
        os.close(fd)
        raise
    os.ftruncate(fd, 0)
    os.pwrite(fd, _mark(os.getpid()).encode(), 0)
    return DataLock(fd)


def holder(path: Path) -> int | None:
    """The pid of the posthouse that holds the lock at `path`, if one is alive."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try(fd) else _living_parent(fd)
    finally:
        os.close(fd)


async def _acquire(fd: int, path: Path, timeout_s: float) -> None:
    waited_s = 0.0
    while not _try(fd):
        if parent := _living_parent(fd):
            raise EmbeddedError(
                f"Another posthouse runs here (pid {parent}). "
                f"Stop it, or give this one a directory of its own with --data: {path.parent}"
            )
        if waited_s >= timeout_s:
            pids = " ".join(str(pid) for pid in _holders(path)) or "unknown"
            raise EmbeddedError(
                f"Processes of an earlier posthouse still hold {path} (pids {pids}). "
                f"End them with: kill -9 {pids}"
            )
        await asyncio.sleep(POLL_S)
        waited_s += POLL_S


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _living_parent(fd: int) -> int | None:
    mark = os.pread(fd, 100, 0).decode(errors="replace")
    pid = mark.partition(" ")[0]
    return int(pid) if pid.isdigit() and _mark(int(pid)) == mark else None


def _mark(pid: int) -> str:
    """The pid with the time it started, because pids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return str(pid) if not Path("/proc/self").exists() and is_alive(pid) else ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state == "Z" else f"{pid} {rest[18]}"


def is_alive(pid: int) -> bool:
    """Whether the kernel knows the pid; a zombie counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _holders(path: Path) -> list[int]:
    target = os.path.realpath(path)
    pids = {
        int(link.parent.parent.name)
        for link in Path("/proc").glob("[0-9]*/fd/*")
        if _points_at(link, target)
    }
    return sorted(pids - {os.getpid()})


def _points_at(link: Path, target: str) -> bool:
    try:
        return str(link.readlink()) == target
    except OSError:
        return False
