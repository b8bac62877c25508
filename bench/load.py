"""Sends requests over kept-alive connections from one thread, as fast as they are answered.

One request is under way on each connection. Plain sockets and epoll cost about 6 us a request,
less than any server here, so the server is what is busy.
"""

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from bench.measure import cpu_s

CONNECTIONS = 64
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STALL_S = 20.0


class LoadError(Exception):
    """The server hung, closed a connection, or answered otherwise than it should."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a slot of load cost: requests answered, seconds, and CPU seconds of the server."""

    requests: int
    took_s: float
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """The server's CPU time for each request, in microseconds."""
        return self.cpu_s / self.requests * 1e6

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.took_s


@dataclass(slots=True)
class _Driver:
    port: int
    upcoming: Iterator[bytes]
    statuses: Counter[bytes] = field(default_factory=Counter[bytes])
    _sockets: dict[int, socket.socket] = field(default_factory=dict[int, socket.socket])
    _halves: dict[int, bytes] = field(default_factory=dict[int, bytes])
    _poll: select.epoll = field(default_factory=select.epoll)

    def connect(self, connections: int) -> None:
        for _ in range(connections):
            one = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[one.fileno()] = one
            self._poll.register(one.fileno(), select.EPOLLIN)

    def run(self, *, seconds: float = 0.0, at_least: int = 0) -> int:
        """Answer how many were answered, for so long and until so many are."""
        sockets, poll, upcoming = self._sockets, self._poll.poll, self.upcoming
        for one in sockets.values():
            one.send(next(upcoming))
        answered, ends_at = 0, time.monotonic() + seconds
        while time.monotonic() < ends_at or answered < at_least:
            ready = poll(_STALL_S)
            if not ready:
                raise LoadError(f"no answer for {_STALL_S:g} s")
            for fd, _ in ready:
                if self._receive(fd):
                    answered += 1
                    sockets[fd].send(next(upcoming))
        return answered

    def settle(self) -> None:
        """Take the answers that are under way."""
        waiting = set(self._sockets)
        while waiting:
            ready = self._poll.poll(_STALL_S)
            if not ready:
                raise LoadError(f"no answer for {_STALL_S:g} s")
            waiting -= {fd for fd, _ in ready if self._receive(fd)}

    def close(self) -> None:
        self._poll.close()
        for one in self._sockets.values():
            one.close()

    def _receive(self, fd: int) -> bool:
        """Read what came on a connection; whether the answer is complete."""
        data = self._sockets[fd].recv(262_144)
        if not data:
            raise LoadError("the server closed a connection")
        if self._halves:
            data = self._halves.pop(fd, b"") + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end) if end >= 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            if end >= 0 and length is None:
                raise LoadError("an answer without a length")
            self._halves[fd] = data
            return False
        self.statuses[data[9:12]] += 1
        return True


def drive(
    pid: int,
    port: int,
    requests: Sequence[bytes],
    *,
    status: int,
    seconds: float,
    warm_up: int = 0,
    connections: int = CONNECTIONS,
) -> Load:
    """Load the server `pid` for `seconds` with `requests` in turn, after `warm_up` of them.

    Raises:
        LoadError: an answer did not come, or had another status than `status`.
    """
    driver = _Driver(port, cycle(requests))
    try:
        driver.connect(connections)
        if warm_up:
            driver.run(at_least=warm_up)
            driver.settle()
        cpu, started = cpu_s(pid), time.monotonic()
        answered = driver.run(seconds=seconds)
        load = Load(answered, time.monotonic() - started, cpu_s(pid) - cpu)
        driver.settle()
    finally:
        driver.close()
    wrong = {code.decode(): n for code, n in driver.statuses.items() if code != b"%d" % status}
    if wrong:
        raise LoadError(f"answers other than {status}: {wrong}")
    return load
