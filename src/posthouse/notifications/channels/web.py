"""The HTTP client of providers with an API: pooled, with checked addresses and one deadline.

It tells apart what was not sent, so that it can be sent again, from what got no answer.
A provider is told the trace that a message belongs to (W3C Trace Context).
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import httpcore
from httpcore._backends.anyio import AnyIOBackend
from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError
from typing_extensions import override

from posthouse.kernel import trace
from posthouse.kernel.clock import Clock
from posthouse.kernel.text import Str
from posthouse.notifications.channels.hosts import HostRefusedError, Hosts, HostUnknownError
from posthouse.notifications.channels.protocol import Surroundings
from posthouse.notifications.model import Failure, Refused, Unknown

_MAX_ANSWER_BYTES = 1_048_576
_MAX_WAIT_S = 86_400.0
_MAX_DETAIL = 500


def _check_endpoint(text: str) -> str:
    """Give a base URL back without a slash at its end.

    Raises:
        PydanticCustomError: `url-invalid`.
    """
    try:
        parts = urlsplit(text)
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and text.isascii()
        is_fine = is_fine and parts.username is None and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        is_fine = False
    if not is_fine or any(character <= " " for character in text):
        raise PydanticCustomError("url-invalid", "This is not the URL of an API")
    return text.rstrip("/")


Endpoint = Annotated[
    Str, StringConstraints(max_length=500, min_length=1), AfterValidator(_check_endpoint)
]


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The object in the body; empty if it holds none."""
        try:
            found: Any = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    @property
    def text(self) -> str:
        """The begin of the body, to show."""
        return self.body[:_MAX_DETAIL].decode("utf-8", "replace")

    def retry_after_s(self, clock: Clock) -> float | None:
        """How long it asks to wait, at most a day (RFC 9110 section 10.2.3)."""
        return retry_after_s(self.headers.get("retry-after", ""), clock)


def retry_after_s(header: str, clock: Clock) -> float | None:
    """Read `Retry-After`: seconds or a date; None if it is neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_WAIT_S)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(0.0, at - clock.epoch_s()), _MAX_WAIT_S)


@dataclass
class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to an address that was checked, whatever the name says by then."""

    hosts: Hosts
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
        del socket_options
        addresses = await self.hosts.addresses(host, port)
        for address in addresses[:-1]:
            try:
                return await self.inner.connect_tcp(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self.inner.connect_tcp(addresses[-1], port, timeout, local_address)


@dataclass(slots=True)
class _Trail:
    """Whether the server may have the whole request."""

    is_sent: bool = False

    async def note(self, event: str, info: dict[str, Any]) -> None:
        """Follow the request; an event of httpcore's."""
        del info
        if event.endswith("send_request_body.started"):
            self.is_sent = True

    def lost(self, code: str, detail: str) -> Refused | Unknown:
        """What it means that there is no answer."""
        if self.is_sent:
            return Unknown(code, detail)
        return Refused(Failure.TRANSIENT, code, detail)


class Web:
    """Asks the API of one provider; connections are kept for a while."""

    def __init__(self, around: Surroundings) -> None:
        """Connect on the first request."""
        self._around = around
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=around.tls,
            max_connections=200,
            max_keepalive_connections=100,
            # Servers close idle connections after 5 s and more: a request that meets the closing
            # is in doubt.
            keepalive_expiry=4.0,
            retries=0,
            network_backend=_CheckedBackend(around.hosts),
        )

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> WebAnswer | Refused | Unknown:
        """Send one request; redirects are answers like others."""
        if not url.startswith("https://") and not self._around.hosts.allows_private:
            return Refused(Failure.CONFIG, "insecure", "It must be an https URL.")
        trail = _Trail()
        try:
            async with asyncio.timeout(self._around.total_s):
                return await self._ask(method, url, headers, body, trail)
        except HostRefusedError:
            return Refused(Failure.CONFIG, "private-address")
        except HostUnknownError:
            return Refused(Failure.TRANSIENT, "connect-failed", "The name has no address.")
        except (TimeoutError, httpcore.TimeoutException):
            return trail.lost("timeout", "There was no answer in time.")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            code = "connection-lost" if trail.is_sent else "connect-failed"
            return trail.lost(code, type(error).__name__)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, trail: _Trail
    ) -> WebAnswer:
        extensions = {"timeout": {"connect": self._around.connect_s}, "trace": trail.note}
        sent = list(headers.items())
        if traceparent := trace.current():
            sent.append(("traceparent", traceparent))
        async with self._pool.stream(
            method, url, headers=sent, content=body, extensions=extensions
        ) as response:
            received = bytearray()
            async for chunk in response.aiter_stream():
                received += chunk
                if len(received) > _MAX_ANSWER_BYTES:
                    break
            return WebAnswer(
                response.status,
                {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                },
                bytes(received[:_MAX_ANSWER_BYTES]),
            )

    async def close(self) -> None:
        """End all connections."""
        await self._pool.aclose()
