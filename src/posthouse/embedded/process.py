"""One child process that never outlives us, and a way to wait for its end without a thread."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from posthouse.embedded.account import Account

PR_SET_PDEATHSIG = 1
NO_PIDFD_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. `parting_signal` is what the kernel sends it when we die, however we die."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path | None = None
    account: Account | None = None
    keep_fds: tuple[int, ...] = ()
    parting_signal: signal.Signals = signal.SIGTERM
    log_path: Path | None = None  # both outputs are appended to it; without it they are ours
    stdout_fd: int | None = None


class Process:
    """A started command. It leads a session of its own, so a Ctrl-C reaches only us."""

    def __init__(self, command: Command) -> None:
        log = _open_log(command.log_path)
        try:
            self._popen = _popen(command, log)
        finally:
            if log:
                log.close()
        self.pid = self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has; also lays a dead child to rest."""
        return self._popen.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, if it lives."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it and what it started, at once."""
        if not self.has_ended:
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end and give its exit code, or minus the signal that ended it."""
        while not self.has_ended:
            await self._next_news()
        return self._popen.wait()

    async def _next_news(self) -> None:
        fd = _pidfd(self.pid)
        if fd is None:
            await asyncio.sleep(NO_PIDFD_POLL_S)
            return
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(fd, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(fd)
            os.close(fd)


def words_for(code: int) -> str:
    """Say an exit code: `exit code 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _popen(command: Command, log: BinaryIO | None) -> subprocess.Popen[bytes]:
    account = command.account
    with warnings.catch_warnings():
        # 3.12 warns of any fork beside a thread. Ours calls prctl and getppid, then execs.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(  # noqa: S603 - argv is ours, without a shell
            command.argv,
            env=dict(command.env),
            cwd=command.cwd,  # entered before the account changes
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=command.keep_fds,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log if command.stdout_fd is None else command.stdout_fd,
            stderr=log,
            preexec_fn=_tie_to_parent(command.parting_signal),  # noqa: PLW1509 - see above
        )


def _tie_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Give what a child runs before exec so that the kernel signals it when we die (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # we died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def _pidfd(pid: int) -> int | None:
    if sys.platform == "linux":
        try:
            return os.pidfd_open(pid)
        except OSError:
            return None
    return None


def _open_log(path: Path | None) -> BinaryIO | None:
    return path.open("ab", buffering=0) if path else None  # type: ignore[return-value]
