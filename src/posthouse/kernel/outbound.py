"""The one HTTP client for addresses that somebody else chose, safe against SSRF.

Each hop's name is resolved here, every address of it must be out on the internet, and the
connection goes to the checked address while TLS and Host keep the name: a second look-up cannot
change the answer (DNS rebinding). Redirects are followed one by one, each checked. The whole
exchange has one deadline by the wall clock, because a timeout per read lets a slow drip run for
hours, and the body a size. Proxies of the environment are not used.
Source: OWASP, "Server-Side Request Forgery Prevention".
"""

import asyncio
import ipaddress
import socket
import ssl
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote, urljoin, urlsplit

import httpcore
from httpcore._backends.anyio import AnyIOBackend
from typing_extensions import override

from posthouse.kernel.addresses import is_public
from posthouse.kernel.errors import InvalidInputError, Kind, PosthouseError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OutboundRefusedError(InvalidInputError):
    """The address is not one that we call: another scheme or port, or not on the internet."""

    code: ClassVar[str] = "outbound-refused"
    title: ClassVar[str] = "This address is not one that we call"


class OutboundFailedError(PosthouseError):
    """There was no usable answer: refused, cut off, too large, or not HTTP."""

    kind: ClassVar[Kind] = Kind.UPSTREAM
    code: ClassVar[str] = "outbound-failed"
    title: ClassVar[str] = "The other side gave no usable answer"


class OutboundTimeoutError(PosthouseError):
    """There was no whole answer before the deadline."""

    kind: ClassVar[Kind] = Kind.UPSTREAM_TIMEOUT
    code: ClassVar[str] = "outbound-timeout"
    title: ClassVar[str] = "The other side did not answer in time"


@dataclass(frozen=True, slots=True)
class OutboundLimits:
    """`ports` that may be called; `allows` says which addresses are out on the internet.

    A body of more than `body_bytes` is a failure, or with `cuts_body` only its begin is read.
    """

    deadline_s: float = 5.0
    body_bytes: int = 65_536
    cuts_body: bool = False
    redirects: int = 0
    ports: frozenset[int] = frozenset({80, 443})
    allows: Callable[[Address], bool] = is_public


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` are lower case; `url` is where the last hop went."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


async def resolve_by_system(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system resolves it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass
class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to an address that was checked, whatever the name says by now."""

    address: str
    inner: AnyIOBackend = field(default_factory=AnyIOBackend)

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del host, socket_options
        return await self.inner.connect_tcp(self.address, port, timeout, local_address)


@dataclass(frozen=True, slots=True)
class Outbound:
    """Calls addresses that somebody else chose."""

    limits: OutboundLimits = field(default_factory=OutboundLimits)
    resolve: Resolve = resolve_by_system
    tls: ssl.SSLContext | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises:
            OutboundRefusedError: the address, or one that it redirects to, is not allowed.
            OutboundFailedError: there was no usable answer.
            OutboundTimeoutError: it was not whole before the deadline.
        """
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                return await self._follow(method, url, dict(headers or {}), body)
        except TimeoutError as error:
            raise OutboundTimeoutError from error

    async def _follow(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        for _ in range(self.limits.redirects + 1):
            answer = await self._hop(method, url, headers, body)
            location = answer.headers.get("location")
            if self.limits.redirects == 0 or answer.status not in _REDIRECTS or not location:
                return answer
            target = _joined(url, location)
            if urlsplit(target).hostname != urlsplit(url).hostname:
                # Credentials were meant for the first host only.
                headers = {
                    name: value
                    for name, value in headers.items()
                    if name.lower() not in {"authorization", "cookie"}
                }
            url = target
            if answer.status in {301, 302, 303}:
                method, body = "GET", b""
        raise OutboundFailedError("It redirects too often.")

    async def _hop(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        address = await self._check(url)
        pool = httpcore.AsyncConnectionPool(
            network_backend=_PinnedBackend(address), ssl_context=self.tls, retries=0
        )
        try:
            async with (
                pool,
                pool.stream(method, url, headers=list(headers.items()), content=body) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_stream():
                    received += chunk
                    if len(received) > self.limits.body_bytes:
                        if not self.limits.cuts_body:
                            raise OutboundFailedError("The answer is too large.")
                        del received[self.limits.body_bytes :]
                        break
                return Answer(
                    status=response.status,
                    headers={
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in response.headers
                    },
                    body=bytes(received),
                    url=url,
                )
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise OutboundFailedError from error
        except httpcore.TimeoutException as error:
            raise OutboundTimeoutError from error

    async def _check(self, url: str) -> str:
        """Give the address to connect to; one bad address among several refuses all of them.

        Raises:
            OutboundRefusedError: the URL or an address of its host is not allowed.
            OutboundFailedError: the name has no address.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise OutboundRefusedError("It is not a URL.") from error
        if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
            raise OutboundRefusedError("It must be a plain http or https URL.")
        if not url.isascii():
            raise OutboundRefusedError("It must be in ASCII; encode what is not.")
        port = port or (443 if parts.scheme == "https" else 80)
        if port not in self.limits.ports:
            raise OutboundRefusedError(f"Port {port} is not allowed.")
        try:
            found = await self.resolve(host, port)
        except (OSError, UnicodeError) as error:  # a label of more than 63 characters is the latter
            raise OutboundFailedError("The name has no address.") from error
        addresses = [ipaddress.ip_address(one.partition("%")[0]) for one in found]
        if not addresses:
            raise OutboundFailedError("The name has no address.")
        if not all(self.limits.allows(one) for one in addresses):
            raise OutboundRefusedError("It leads into a private network.")
        return str(addresses[0])


def _joined(url: str, location: str) -> str:
    """Where a redirect leads; servers send bytes that belong into no URL, so they are encoded.

    Raises:
        OutboundRefusedError: it leads to nothing that is a URL.
    """
    try:
        target = urljoin(url, quote(location.encode("latin-1"), safe=string.punctuation))
        urlsplit(target)
    except ValueError as error:
        raise OutboundRefusedError("It redirects to what is not a URL.") from error
    return target
