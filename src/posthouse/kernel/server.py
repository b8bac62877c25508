"""uvicorn with uvloop and httptools, and what it lacks: deadlines for headers, problem+json.

A connection must send a whole header section within `header_s`, and one address may hold only
so many connections. Both are watched without a timer per request.
"""

import asyncio
import gc
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import httptools
import uvicorn
import uvloop
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from posthouse.kernel.edge import App, Scope
from posthouse.kernel.errors import (
    HeadersTooLargeError,
    MalformedError,
    OverloadedError,
    PosthouseError,
)
from posthouse.kernel.problems import problem_response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Seconds and counts for each connection."""

    header_s: float = 10.0
    idle_s: int = 5
    header_bytes: int = 65_536
    connections_per_address: int = 256
    drain_s: int = 20


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Needs `watch` once per process."""

    limits: ClassVar[ServerLimits] = ServerLimits()
    held: ClassVar[Counter[str]] = Counter()
    open_connections: ClassVar[set["GuardedProtocol"]] = set()

    _ask_at_once: Callable[[bytes, Scope], bytes | None] | None = None
    _address: str = ""
    _headers_since: float | None = None
    _header_bytes: int = 0
    _has_begun: bool = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._ask_at_once = getattr(cast("object", self.app), "answer_at_once", None)  # type: ignore[arg-type]
        self._address = self.client[0] if self.client else ""
        self._headers_since = self.loop.time()
        GuardedProtocol.open_connections.add(self)
        GuardedProtocol.held[self._address] += 1
        if self._address and self.held[self._address] > self.limits.connections_per_address:
            self._refuse(OverloadedError(retry_after_s=1))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        GuardedProtocol.open_connections.discard(self)
        GuardedProtocol.held[self._address] -= 1
        if GuardedProtocol.held[self._address] <= 0:
            del GuardedProtocol.held[self._address]
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        # What comes in one read may be the end of a body, a whole header section and the beginning
        # of its body. A section that goes on in the next read is counted from there on.
        self._has_begun = False
        super().data_received(data)
        if self.headers_are_complete or self._has_begun:
            return
        self._header_bytes += len(data)
        if self._header_bytes > self.limits.header_bytes:
            self._refuse(HeadersTooLargeError())

    @property
    def headers_are_complete(self) -> bool:
        """Whether no header section is being read at present."""
        return self._headers_since is None

    @override
    def on_message_begin(self) -> None:
        self._headers_since = self.loop.time()
        self._header_bytes = 0
        self._has_begun = True
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._headers_since = None
        if self._is_answered_at_once():
            return
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError) as error:
            raise httptools.HttpParserError("the request target is not a URL") from error

    def _is_answered_at_once(self) -> bool:
        """Write what the application can answer without waiting for anything.

        Scope, cycle and task of a request cost more than to follow a link. The application gives
        an answer without a body, from the status line on, without a date and without its end.
        """
        parser: Any = self.parser
        cycle: Any = self.cycle  # None before the first request
        if (
            self._ask_at_once is None
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or parser.get_method() != b"GET"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or parser.should_upgrade()
        ):
            return False
        start = self._ask_at_once(self.url, self.scope)
        if start is None:
            return False
        dated = [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        self.transport.write(b"".join((start, *dated, b"\r\n")))
        self.cycle = _ANSWERED
        self.on_response_complete()
        return True

    @override
    def send_400_response(self, msg: str) -> None:
        del msg
        self._refuse(MalformedError("The request is not valid HTTP/1.1."))

    def give_up_on_slow_headers(self, now: float) -> None:
        """Close the connection if its header section is overdue."""
        waits_for_first = self._headers_since is not None
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_idle = cycle is None or cycle.response_complete
        if (
            waits_for_first
            and is_idle
            and now - (self._headers_since or now) > self.limits.header_s
        ):
            self.transport.close()

    def _refuse(self, error: PosthouseError) -> None:
        if self.transport.is_closing():
            return
        response = problem_response(error, "-")
        head = [b"HTTP/1.1 %d \r\nconnection: close\r\n" % response.status_code]
        head += [b"%b: %b\r\n" % pair for pair in response.raw_headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(response.body)]))
        self.transport.close()


class _Answered:
    """Stands for the cycle of a request that was answered at once."""

    response_complete = True
    message_event = asyncio.Event()


_ANSWERED = cast("RequestResponseCycle", _Answered())


async def watch() -> None:
    """Close connections whose headers are overdue, once a second."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        for connection in list(GuardedProtocol.open_connections):
            connection.give_up_on_slow_headers(loop.time())


class DrainingServer(uvicorn.Server):
    """Stops as we promise: first not ready, then no new connections, then what runs ends."""

    def __init__(self, config: uvicorn.Config, drain: asyncio.Event, grace_s: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._grace_s = grace_s
        self._stopping = 0

    @override
    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop at the first signal, stop at once at the second."""
        del frame
        self._stopping += 1
        self._drain.set()
        if self._stopping > 1 or self._grace_s <= 0:
            self.force_exit = self._stopping > 1
            self.should_exit = True
            return
        asyncio.get_running_loop().call_later(self._grace_s, setattr, self, "should_exit", True)
        signal.signal(sig, self.handle_exit)


def make_server(
    app: App, *, host: str, port: int, drain: asyncio.Event, grace_s: float
) -> DrainingServer:
    """Configure uvicorn for one application."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=GuardedProtocol.limits.idle_s,
        timeout_graceful_shutdown=GuardedProtocol.limits.drain_s,
        backlog=2048,
    )
    return DrainingServer(config, drain, grace_s)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run the process's main coroutine on uvloop; give what it returns."""
    return uvloop.run(main)


def settle() -> None:
    """Tell the garbage collector that the process has what it will keep, and to look less often.

    Its default, a look after each 700 new containers, is a third of the cost of counting clicks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
