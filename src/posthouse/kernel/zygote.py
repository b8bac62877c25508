"""The process that children of `kernel.sandbox` are forked from: it waits, and never works itself.

It is started once by `exec`, imports what the children will need, and starts no thread, so a fork
of it is safe and costs a few milliseconds. On its control socket it takes one JSON object a line:
`{"start": n, "function": "module:name", "limits": {…}, "reach": {…}}` with a socket for the child,
and `{"kill": n}`. It answers `{"ended": n, "status": wait status, "cpu_s": …, "peak_bytes": …}`.
Only it may kill a child: it is their parent, so a number cannot have passed to another process.
"""

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import tempfile
from collections import deque
from contextlib import suppress
from typing import Any

from posthouse.kernel.confine import confine

HEAD = struct.Struct("!cI")
MESSAGE, RESULT = b"m", b"r"
OUT_OF_MEMORY, FAILED = 71, 72
MAX_FRAME = 64 * 1024 * 1024
_SPARE_CPU_S = 2
_FILES = 256
_BEHIND = 10  # of nice(2)
_PR_SET_PDEATHSIG = 1


class Channel:
    """A child's line to the one who started it: whole messages of bytes, both ways."""

    def __init__(self, line: socket.socket) -> None:
        """Speak over `line`, a connected stream socket."""
        self._line = line

    def send(self, message: bytes, kind: bytes = MESSAGE) -> None:
        """Send a message; waits while the other side does not read."""
        self._line.sendall(HEAD.pack(kind, len(message)) + message)

    def receive(self) -> bytes | None:
        """Give the next message, or None when there will be no more."""
        head = self._read(HEAD.size)
        return None if head is None else self._read(HEAD.unpack(head)[1])

    def linger(self) -> None:
        """Wait until the other side has said all.

        What is unread when a line is closed takes along what was sent.
        """
        while self._line.recv(1 << 16):
            pass

    def _read(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = self._line.recv(min(size - len(parts), 1 << 20))
            if not part:
                return None
            parts += part
        return bytes(parts)


def main(control: socket.socket, modules: list[str]) -> None:
    """Fork children until the control socket is closed by its other end."""
    for module in modules:
        # What is not installed is an extra; a step that needs it fails by itself.
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the collector must not touch, and so copy, the pages that children share
    _die_with_parent()
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, _note)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the worker's business
    Zygote(control, woken).run()


def _note(number: int, frame: object) -> None:
    """Do nothing: a signal with a handler writes to the wake-up line."""
    del number, frame


class Zygote:
    """The children that run, by their number."""

    def __init__(self, control: socket.socket, woken: socket.socket) -> None:
        """Listen to `control`, and to `woken` for children that ended."""
        self._control = control
        self._woken = woken
        self._numbers: dict[int, int] = {}
        self._lines: deque[int] = deque()
        self._heard = b""

    def run(self) -> None:
        """Serve until the worker is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        self._woken.recv(4096)
                    elif not self._listen():
                        return
                self._bury()

    def _listen(self) -> bool:
        data, lines, _, _ = socket.recv_fds(self._control, 65_536, 16)
        self._lines.extend(lines)
        self._heard += data
        *orders, self._heard = self._heard.split(b"\n")
        for order in orders:
            self._obey(json.loads(order))
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        if "kill" in order:
            for pid, number in self._numbers.items():
                if number == order["kill"]:
                    os.kill(pid, signal.SIGKILL)
            return
        line = self._lines.popleft()
        pid = os.fork()
        if pid == 0:
            self._become_child(line, order)
        os.close(line)
        self._numbers[pid] = order["start"]

    def _become_child(self, line: int, order: dict[str, Any]) -> None:
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            self._woken.close()
            os.setsid()
            _die_with_parent()
            _limit(order["limits"])
            _settle(order["reach"])
            code = _run(order["function"], Channel(socket.socket(fileno=line)))
        except MemoryError:
            code = OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001  the parent hears a code, the log a name
            sys.stderr.write(f"a sandboxed {order['function']} failed: {type(error).__name__}\n")
        finally:
            # No exit handlers: they belong to the zygote, and some libraries' abort.
            os._exit(code)

    def _bury(self) -> None:
        while self._numbers:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            told = {
                "ended": self._numbers.pop(pid),
                "status": status,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            }
            self._control.sendall(json.dumps(told).encode() + b"\n")


def _run(function: str, channel: Channel) -> int:
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(channel)
    channel.send(json.dumps(result).encode(), RESULT)
    channel.linger()
    return 0


def _limit(limits: dict[str, Any]) -> None:
    memory, cpu_s, written = limits["memory_bytes"], limits["cpu_s"], limits["written_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # At the soft limit SIGXCPU ends the child; the hard one is for a child that ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + _SPARE_CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def _settle(reach: dict[str, list[str]]) -> None:
    """Let the child reach its own folders only, and behind whoever answers requests."""
    os.nice(_BEHIND)
    if reach["write"]:
        os.environ["TMPDIR"] = tempfile.tempdir = reach["write"][0]  # noqa: TID251  for libraries
    confine(reach["read"], reach["write"])


def _die_with_parent() -> None:
    """Be killed when the parent dies, however it dies (Linux; prctl(2))."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  only here

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(FAILED)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
