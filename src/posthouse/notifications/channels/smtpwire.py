"""One connection to an SMTP server: commands out, replies in; it knows nothing of messages.

Source: RFC 5321 section 4.2 (replies), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS).
"""

import asyncio
import contextlib
import math
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

from typing_extensions import override

# RFC 5321 allows replies of 512 bytes a line; nobody sends so much more on purpose.
_MAX_WAITING_BYTES = 65_536
_MAX_WAITING_REPLIES = 64
_MAX_LINES = 1000
_CODES = {b"%d" % code: code for code in range(200, 600)}
_KINDS = frozenset({b" ", b"-", b"\r", b""})


class LostError(Exception):
    """The connection is of no use any more: closed, cut off, or what came is no SMTP."""

    def __init__(self, code: str) -> None:
        """Say what is the case."""
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Reply:
    """An answer of the server; `raw` are its lines without codes, which hardly anybody reads."""

    code: int
    raw: list[bytes]

    @property
    def lines(self) -> list[str]:
        """The lines as text."""
        return [line.decode("utf-8", "replace") for line in self.raw]

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(self.lines)


class Wire(asyncio.Protocol):
    """Reads replies as they come in; who asks for one waits until it is there."""

    def __init__(self) -> None:
        """Wait for a connection."""
        self.released_at = 0.0
        self.due_at = math.inf
        self.extensions: dict[str, str] = {}
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._lines: list[bytes] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._lost: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is open and nothing has come that nobody asked for."""
        return self._lost is None and not self._replies and not self._buffer

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        *lines, self._buffer = data.split(b"\n")
        is_fine = len(self._buffer) <= _MAX_WAITING_BYTES
        for line in lines:
            is_fine = is_fine and self._take(line)
        if not is_fine or len(self._replies) > _MAX_WAITING_REPLIES:
            self._lose("garbage")
        elif self._replies:
            self._wake()

    def _take(self, line: bytes) -> bool:
        code = _CODES.get(line[:3])
        kind = line[3:4]
        if code is None or kind not in _KINDS or len(self._lines) >= _MAX_LINES:
            return False
        self._lines.append(line[4:].rstrip(b"\r"))
        if kind != b"-":
            self._replies.append(Reply(code, self._lines))
            self._lines = []
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost = self._lost or "connection-lost"
        self._wake()
        self.resume_writing()

    @override
    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _lose(self, code: str) -> None:
        self._lost = code
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def write(self, data: bytes) -> None:
        """Send.

        Raises:
            LostError: the connection is closed.
        """
        if self._lost is not None or self._transport is None:
            raise LostError(self._lost or "connection-lost")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the system has taken all that was written.

        Raises:
            LostError: the connection was lost before.
        """
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() and self._lost is None:
            transport.set_write_buffer_limits(0)
            self._drained = asyncio.get_running_loop().create_future()
            if transport.get_write_buffer_size():
                await self._drained
            transport.set_write_buffer_limits()
        if self._lost is not None:
            raise LostError(self._lost)

    def ready(self) -> Reply | None:
        """Give the next reply if it is there already."""
        return self._replies.popleft() if self._replies else None

    async def reply(self) -> Reply:
        """Give the next reply.

        Raises:
            LostError: there will be none.
        """
        while not self._replies:
            if self._lost is not None:
                raise LostError(self._lost)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    async def ask(self, command: bytes) -> Reply:
        """Send one command and wait for its reply.

        Raises:
            LostError: there will be none.
        """
        self.write(command + b"\r\n")
        return await self.reply()

    async def secure(self, tls: ssl.SSLContext, host: str) -> None:
        """Begin TLS on the open connection.

        Raises:
            LostError: the server sent more before TLS, which somebody else may have put there.
        """
        if not self.is_usable or self._transport is None:
            self.abort()
            raise LostError("injected")
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(self._transport, self, tls, server_hostname=host)
        self._transport = cast("asyncio.Transport", cast("Any", secured))

    def part(self) -> None:
        """Say goodbye and close without waiting for the answer."""
        if self._transport is not None and self._lost is None:
            with contextlib.suppress(OSError):
                self._transport.write(b"QUIT\r\n")
            self._transport.close()
            self._lost = "closed"

    def abort(self, code: str = "closed") -> None:
        """Close at once; who waits for a reply hears that it is lost, and why."""
        if self._lost is None:
            self._lose(code)
