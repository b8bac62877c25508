"""Servers of strangers on loopback, for which loopback stands for the internet."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx

from posthouse.app import create_app
from posthouse.kernel.cache import Cache
from posthouse.kernel.outbound import Outbound
from posthouse.links.previews import Previews, open_outbound
from posthouse.links.service import Links
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker

HTML = b"Content-Type: text/html; charset=utf-8\r\n"


def page(html: str | bytes, head: bytes = HTML, status: bytes = b"200 OK") -> bytes:
    """A whole answer with a page."""
    body = html.encode() if isinstance(html, str) else html
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + head + length + b"\r\n" + body


def redirect(location: str) -> bytes:
    """An answer that leads on."""
    return page(b"", b"Location: " + location.encode() + b"\r\n", b"302 Found")


@dataclass
class Stranger:
    """A server that answers each path as it is told; `asked` are the paths, in order."""

    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    slow: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list[str])
    heads: list[bytes] = field(default_factory=list[bytes])

    def url(self, path: str = "/", host: str = "public.example") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            self.heads.append(head)
            if path in self.slow:
                await self.slow[path](writer)
            writer.write(self.answers.get(path, b""))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def stranger() -> AsyncGenerator[Stranger]:
    """A stranger that listens."""
    one = Stranger()
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    async with listening:
        one.port = listening.sockets[0].getsockname()[1]
        yield one


def outbound_to(port: int, *, deadline_s: float = 5.0) -> Outbound:
    """A client like production's, but with this port and an internet of two names."""

    async def resolve(host: str, port: int) -> list[str]:
        return {"public.example": ["127.0.0.1"], "other.example": ["127.0.0.1"],
                "inside.example": ["10.0.0.1"]}.get(host, [host])  # fmt: skip

    usual = open_outbound(deadline_s)
    limits = replace(
        usual.limits, ports=frozenset({port}), allows=lambda one: str(one) == "127.0.0.1"
    )
    return Outbound(limits, resolve)


def previews_of(
    runtime: Runtime,
    port: int,
    *,
    deadline_s: float = 5.0,
    ttl_s: int = 3600,
    cache: Cache | None = None,
) -> Previews:
    """Previews of one more process."""
    links = runtime.services[Links]
    assert isinstance(links, Links)
    parts = runtime.parts
    outbound = outbound_to(port, deadline_s=deadline_s)
    return Previews(cache or parts.cache, parts.clock, outbound, links.check_target, ttl_s)


@asynccontextmanager
async def asking(
    runtime: Runtime, make: Maker, previews: Previews
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application with these previews."""
    built = tuple(
        (one, replace(own, services={**own.services, Previews: previews}))
        if Previews in own.services
        else (one, own)
        for one, own in runtime.built
    )
    async with client_of(create_app(replace(runtime, built=built)), await make.key()) as client:
        yield client
