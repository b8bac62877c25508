"""The guard in front of the API: plain ASGI, one pass over the headers.

It wants one valid Host, bounded headers and body, a body that keeps arriving, and a known
version; it gives each request an id and a trace, each answer its security headers, and each
uncaught error a problem document. Nothing behind it needs to ask again.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from posthouse.kernel import trace
from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import (
    BodyTimeoutError,
    HeadersTooLargeError,
    InternalError,
    MalformedError,
    MisdirectedError,
    PosthouseError,
    TooLargeError,
)
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.problems import problem_response

Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

access = logging.getLogger("posthouse.access")
log = logging.getLogger("posthouse.edge")

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_VERSION = re.compile(r"v[1-9]\d{0,2}")

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"cache-control", b"no-store"),
)


class UnsupportedVersionError(MalformedError):
    """The API has no such version."""

    code: ClassVar[str] = "unsupported-version"
    title: ClassVar[str] = "This version of the API does not exist"


class VersionConflictError(MalformedError):
    """The path says one version and `Accept-Version` another."""

    code: ClassVar[str] = "version-conflict"
    title: ClassVar[str] = "The path and Accept-Version disagree"


class Hosts(Protocol):
    """Knows the hosts that are served here."""

    def serves(self, host: str) -> bool:
        """Whether `host` (lower case, no port) is one of ours."""
        ...


@dataclass(frozen=True, slots=True)
class AllHosts:
    """Some hosts that never change, beside those that somebody keeps."""

    hosts: Hosts
    fixed: frozenset[str]

    def serves(self, host: str) -> bool:
        """Whether `host` (lower case, no port) is one of ours."""
        return host in self.fixed or self.hosts.serves(host)


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 32_768
    headers: int = 100
    body_bytes: int = 1_048_576
    body_s: float = 30.0
    body_bytes_per_s: float = 1024.0


def host_of(value: bytes) -> str:
    """The host of a Host header: lower case, without port and trailing dot.

    Raises:
        MalformedError: it is not a host.
    """
    match = _HOST.fullmatch(value)
    if match is None:
        raise MalformedError("The Host header is not a host.")
    return match[1].decode("ascii").lower().rstrip(".")


def one_host(headers: Iterable[tuple[bytes, bytes]], limits: EdgeLimits) -> str:
    """Check the header section as a whole and give its one Host.

    Raises:
        HeadersTooLargeError: it has too many fields or bytes.
        MalformedError: there is no Host or more than one, or it is not a host.
    """
    count = size = 0
    found: bytes | None = None
    for name, value in headers:
        count += 1
        size += len(name) + len(value)
        if name == b"host":
            if found is not None:
                raise MalformedError("There is more than one Host header.")
            found = value
    if size > limits.header_bytes or count > limits.headers:
        raise HeadersTooLargeError
    if found is None:
        raise MalformedError("There is no Host header.")
    return host_of(found)


@dataclass(slots=True)
class BodyMeter:
    """Wraps `receive`: counts the body and insists that it keeps arriving.

    A route that reads its body as a stream sets `is_streamed`, and counts by a limit of its own.
    """

    receive: Receive
    limits: EdgeLimits
    clock: Clock
    is_streamed: bool = False
    _bytes: int = field(default=0, init=False)
    _started: float = field(default=0.0, init=False)

    async def __call__(self) -> Any:
        """Give the next message.

        Raises:
            TooLargeError: the body has more bytes than allowed.
            BodyTimeoutError: it came too slowly.
        """
        now = self.clock.monotonic()
        self._started = self._started or now
        allowed_s = self.limits.body_s + self._bytes / self.limits.body_bytes_per_s
        try:
            async with asyncio.timeout(max(0.01, self._started + allowed_s - now)):
                message = await self.receive()
        except TimeoutError as error:
            raise BodyTimeoutError(headers={"Connection": "close"}) from error
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if self._bytes > self.limits.body_bytes and not self.is_streamed:
                raise TooLargeError(
                    f"At most {self.limits.body_bytes} bytes are read here.",
                    headers={"Connection": "close"},
                )
        return message


@dataclass(slots=True)
class _Answer:
    """Wraps `send`: adds the headers of every answer and remembers the status."""

    send: Send
    request_id: bytes
    varies: bool
    status: int = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name for name, _ in headers}
            headers += [pair for pair in _SECURITY if pair[0] not in present]
            headers.append((b"x-request-id", self.request_id))
            if self.varies:
                headers.append((b"vary", b"Accept-Version"))
            message = {**message, "headers": headers}
        await self.send(message)


@dataclass(slots=True)
class Edge:
    """Guards `app`, which answers everything below `/api`, `/docs` and the like."""

    app: App
    hosts: Hosts
    limits: EdgeLimits
    clock: Clock
    metrics: Metrics
    versions: frozenset[str] = frozenset({"v1"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started = self.clock.monotonic()
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(12).encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        trace.accept(headers.get(b"traceparent", b"").decode("latin-1"))
        answer = _Answer(send, request_id, varies=scope["path"].startswith("/api/"))
        try:
            self._check(scope, headers.get(b"accept-version"))
            meter = scope["state"]["meter"] = BodyMeter(receive, self.limits, self.clock)
            await self.app(scope, meter, answer)
        except Exception as error:  # noqa: BLE001  the last place that can answer
            await self._answer_error(error, scope, receive, answer)
        self._note(scope, answer.status, self.clock.monotonic() - started)

    def _check(self, scope: Scope, version: bytes | None) -> None:
        """Check what can be checked before the body is read.

        Raises:
            MisdirectedError: the Host is not one of ours.
            MalformedError: the Host, the path, the query or the version cannot be read.
            HeadersTooLargeError: the header section is too large.
        """
        if not self.hosts.serves(one_host(scope["headers"], self.limits)):
            raise MisdirectedError
        _require_readable(scope)
        self._route_version(scope, version)

    async def _answer_error(
        self, error: Exception, scope: Scope, receive: Receive, answer: _Answer
    ) -> None:
        ours = error if isinstance(error, PosthouseError) else InternalError()
        if ours.kind is InternalError.kind:
            log.error(
                "unexpected error", exc_info=error, extra={"request_id": answer.request_id.decode()}
            )
        self.metrics.errors.labels(ours.code).inc()
        if answer.status:
            return
        await problem_response(ours, answer.request_id.decode())(scope, receive, answer)

    def _route_version(self, scope: Scope, header: bytes | None) -> None:
        """Bring path and `Accept-Version` together; a path without a version gets one.

        Raises:
            UnsupportedVersionError: there is no such version.
            VersionConflictError: the path says another one.
        """
        path: str = scope["path"]
        if not path.startswith("/api/"):
            return
        asked = header.decode("latin-1").strip() if header is not None else None
        if asked is not None and asked not in self.versions:
            known = ", ".join(sorted(self.versions))
            raise UnsupportedVersionError(f"Supported versions: {known}.")
        first = path[5:].partition("/")[0]
        if _VERSION.fullmatch(first):
            if asked is not None and asked != first:
                raise VersionConflictError(f"The path says {first}, Accept-Version {asked}.")
            return
        scope["path"] = f"/api/{asked or 'v1'}/{path[5:]}"
        scope["raw_path"] = scope["path"].encode()

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "none"
        self.metrics.requests.labels(scope["method"], route, status).observe(took_s)
        principal = scope["state"].get("principal")
        access.info(
            "request",
            extra={
                "request_id": scope["state"]["request_id"],
                "method": scope["method"],
                "route": route,
                "status": status,
                "took_ms": round(took_s * 1000, 2),
                "actor": principal.actor if principal else None,
            },
        )


def _require_readable(scope: Scope) -> None:
    """Refuse a path or query that is not UTF-8 text without NUL.

    uvicorn decodes the path with replacement characters, which would look up another name.

    Raises:
        MalformedError: it is not.
    """
    path: str = scope["path"]
    query: bytes = scope["query_string"]
    if "\ufffd" in path:
        raise MalformedError("The path is not valid UTF-8.")
    if b"%" in query:
        query = unquote_to_bytes(query)
    try:
        query.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("The query is not valid UTF-8.") from error
    if "\x00" in path or b"\x00" in query:
        raise MalformedError("The path or the query holds a NUL.")
