"""Children with limits, for work that is heavy or may crash: one process for each run.

A worker execs one zygote (`kernel.zygote`) and asks it for children; a child ends with its work,
so a crash, an endless loop or a bomb in the input costs that run alone, and the next one starts
from a clean process. It sees the files it is given and no network (`kernel.confine`). The worker's
event loop stays free.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from posthouse.kernel.confine import measures
from posthouse.kernel.errors import InternalError, PosthouseError, UnavailableError
from posthouse.kernel.zygote import HEAD, MAX_FRAME, MESSAGE, OUT_OF_MEMORY, RESULT

_MIB = 1024 * 1024
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")


def plain_environment() -> dict[str, str]:
    """The variables that children see: no secrets."""
    environ = os.environ  # noqa: TID251  passed on, not read
    return {name: environ[name] for name in _PASSED_ON if name in environ}


class ChildTimeoutError(InternalError):
    """The step used more time than it may."""

    code: ClassVar[str] = "timeout"
    title: ClassVar[str] = "The step took too long"


class ChildMemoryError(InternalError):
    """The step used more memory than it may."""

    code: ClassVar[str] = "out-of-memory"
    title: ClassVar[str] = "The step needed too much memory"


class ChildCrashedError(InternalError):
    """The step ended without a result."""

    code: ClassVar[str] = "crashed"
    title: ClassVar[str] = "The step crashed"


class SandboxLostError(UnavailableError):
    """The process that starts children is gone; the next call starts another."""

    code: ClassVar[str] = "sandbox-lost"
    title: ClassVar[str] = "The sandbox was restarted"


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one child may use: address space, CPU seconds, wall clock, size of a written file."""

    memory_bytes: int = 1024 * _MIB
    cpu_s: int = 30
    wall_s: float = 60.0
    written_bytes: int = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class Reach:
    """The files and folders that a child may read and write, beside the system's libraries."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a child used, and by which measures it was confined."""

    cpu_s: float
    peak_bytes: int
    isolation: tuple[str, ...]


@dataclass(slots=True)
class Child:
    """A running child: messages of bytes both ways, then its result."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    result: Any = None
    has_result: bool = False
    receipt: Receipt | None = None

    async def send(self, message: bytes) -> None:
        """Send a message; waits while the child does not read, so that nothing piles up.

        A child that has ended reads nothing any more; how it ended is told by `Sandbox.open`.
        """
        with suppress(ConnectionError):
            self.writer.write(HEAD.pack(MESSAGE, len(message)) + message)
            await self.writer.drain()

    def end(self) -> None:
        """Say that no more messages will come."""
        with suppress(OSError):
            self.writer.write_eof()

    def require_result(self) -> None:
        """Go on if the child gave a result.

        Raises:
            ChildCrashedError: it ended without one; how, `Sandbox.open` tells if it knows better.
        """
        if not self.has_result:
            raise ChildCrashedError

    async def receive(self) -> bytes | None:
        """Give the child's next message, or None when it has ended or given its result."""
        try:
            kind, size = HEAD.unpack(await self.reader.readexactly(HEAD.size))
            if size > MAX_FRAME:
                return None
            body = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if kind == RESULT:
            self.result, self.has_result = json.loads(body), True
            return None
        return body


@dataclass(slots=True)
class _Zygote:
    """The process that forks, and whoever waits for one of its children."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    ended: dict[int, "asyncio.Future[dict[str, Any]]"]
    is_lost: bool = False

    async def start(
        self, number: int, function: str, limits: SandboxLimits, reach: Reach
    ) -> socket.socket:
        """Fork a child; give our end of its line.

        Raises:
            SandboxLostError: the zygote is gone.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        order = {
            "start": number,
            "function": function,
            "limits": asdict(limits),
            "reach": asdict(reach),
        }
        with theirs:
            line = json.dumps(order).encode() + b"\n"
            try:
                socket.send_fds(self.control, [line], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise SandboxLostError(retry_after_s=1) from error
        return ours

    def kill(self, number: int) -> None:
        """End a child now; one that has ended is left alone."""
        with suppress(OSError):
            self.control.sendall(json.dumps({"kill": number}).encode() + b"\n")

    def lost(self) -> None:
        """Tell all who wait that no answer will come."""
        self.is_lost = True
        for waiting in self.ended.values():
            if not waiting.done():
                waiting.set_exception(SandboxLostError(retry_after_s=1))
                waiting.exception()  # one who was cancelled will not ask for it
        self.ended.clear()


@dataclass(slots=True)
class Sandbox:
    """Starts children; one for each process that needs them.

    `preload` are the modules that the zygote imports, and `at_once` bounds the children that run
    at the same time.
    """

    preload: tuple[str, ...] = ()
    at_once: int = field(default_factory=lambda: os.cpu_count() or 1)
    environment: dict[str, str] = field(default_factory=plain_environment)
    _zygote: _Zygote | None = field(default=None, init=False)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, init=False)
    _seats: asyncio.Semaphore = field(init=False)
    _is_closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._seats = asyncio.Semaphore(self.at_once)

    async def run(
        self,
        function: str,
        argument: Any = None,
        limits: SandboxLimits | None = None,
        reach: Reach | None = None,
    ) -> Any:
        """Call `function` ("module:name") in a child and give its result, a JSON value.

        The function takes a `zygote.Channel`, whose first message is `argument` as JSON.

        Raises:
            ChildTimeoutError: it took longer than `limits` allow.
            ChildMemoryError: it used more memory than they allow.
            ChildCrashedError: it ended otherwise, or raised an error.
            SandboxLostError: the zygote went away.
        """
        async with self.open(function, argument, limits, reach) as child:
            while await child.receive() is not None:
                pass
        return child.result

    @asynccontextmanager
    async def open(
        self,
        function: str,
        argument: Any = None,
        limits: SandboxLimits | None = None,
        reach: Reach | None = None,
    ) -> AsyncGenerator[Child]:
        """Speak with a child while the block runs, then wait for its end.

        Without a `reach` it can read the system's libraries and write nothing. A block that is
        left early, by an error or a cancellation, kills the child.

        Raises:
            ChildTimeoutError: it took longer than `limits` allow.
            ChildMemoryError: it used more memory than they allow.
            ChildCrashedError: it ended otherwise, or raised an error.
            SandboxLostError: the zygote went away.
        """
        limits = limits or SandboxLimits()
        async with self._seats:
            zygote = self._running()
            number = next(self._numbers)
            ended = zygote.ended[number] = asyncio.get_running_loop().create_future()
            line = await zygote.start(number, function, limits, reach or Reach())
            reader, writer = await asyncio.open_connection(sock=line)
            child = Child(reader, writer)
            try:
                async with asyncio.timeout(limits.wall_s):
                    await child.send(json.dumps(argument).encode())
                    yield child
                    child.end()
                    while not child.has_result and await child.receive() is not None:
                        pass
                    report = await ended
            except TimeoutError as error:
                raise ChildTimeoutError from error
            finally:
                zygote.kill(number)
                writer.close()
                zygote.ended.pop(number, None)
        child.receipt = Receipt(report["cpu_s"], report["peak_bytes"], measures())
        failure = _failure(report["status"])
        if failure is not None:
            raise failure

    def _running(self) -> _Zygote:
        """The zygote, started again if it is gone.

        Raises:
            SandboxLostError: it cannot be started.
        """
        known = self._zygote
        if known is not None and not known.is_lost and known.process.poll() is None:
            return known
        if self._is_closed:
            raise SandboxLostError
        self._end_zygote()
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "posthouse.kernel.zygote",
                    str(theirs.fileno()),
                    *self.preload,
                ],
                pass_fds=[theirs.fileno()],
                env=self.environment,
                stdin=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        zygote = _Zygote(process, ours, {})
        _Listener(zygote).attach()
        self._zygote = zygote
        return zygote

    def close(self) -> None:
        """End the zygote, and with it all children, for good."""
        self._is_closed = True
        self._end_zygote()

    def _end_zygote(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        with suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(zygote.control)
        zygote.control.close()
        zygote.process.kill()
        zygote.process.wait()
        zygote.lost()


@dataclass(slots=True)
class _Listener:
    """Hears which children have ended."""

    zygote: _Zygote
    heard: bytes = b""

    def attach(self) -> None:
        """Listen as long as the zygote lives."""
        asyncio.get_running_loop().add_reader(self.zygote.control, self._read)

    def _read(self) -> None:
        try:
            data = self.zygote.control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.zygote.control)
            self.zygote.lost()
            return
        *reports, self.heard = (self.heard + data).split(b"\n")
        for line in reports:
            report = json.loads(line)
            waiting = self.zygote.ended.pop(report["ended"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(report)


def _failure(status: int) -> PosthouseError | None:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    if code == OUT_OF_MEMORY:
        return ChildMemoryError()
    if code == -signal.SIGXCPU:
        return ChildTimeoutError()
    return ChildCrashedError()
