"""Raw bytes on a real socket: ambiguous framing, slow and huge requests."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from posthouse.kernel.edge import App
from posthouse.kernel.server import GuardedProtocol, make_server, watch
from posthouse.kernel.supervise import Loop, supervise
from tests.make import Maker

HOST = b"Host: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
async def port(app: App) -> AsyncGenerator[int]:
    """The real server on the real application, with short deadlines."""
    whole = GuardedProtocol.limits
    GuardedProtocol.limits = replace(whole, header_s=1.0)
    server = make_server(app, host="127.0.0.1", port=0, drain=asyncio.Event(), grace_s=0)

    async def serve() -> None:
        await server._serve()

    async with supervise([Loop("server", serve), Loop("watch", watch)]):
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await asyncio.sleep(0.3)
    GuardedProtocol.limits = whole


async def exchange(port: int, *parts: bytes, pause_s: float = 0, within_s: float = 5) -> bytes:
    """Send parts and read until the server closes or falls silent for half a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(within_s):
            while True:
                try:
                    chunk = await asyncio.wait_for(
                        reader.read(65_536), 0.5 if received else within_s
                    )
                except TimeoutError:
                    return received
                if not chunk:
                    return received
                received += chunk
    except (ConnectionError, TimeoutError):
        return received
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


async def test_a_plain_request_is_answered(port: int) -> None:
    assert status_of(await exchange(port, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /api/v1/shorten HTTP/1.1\r\n" + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/shorten HTTP/1.1\r\n" + HOST
        + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/v1/shorten HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /api/v1/shorten HTTP/1.1\r\n" + HOST + b"Content-Length: 5 \x0b\r\n\r\nhello",
        b"POST /api/v1/shorten HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"nonsense\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET /api/v1/links HTTP/1.1\r\n\r\n",
        b"GET /api/v1/links HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
        b"GET /api/v1/links HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /api/v1/links HTTP/1.1\r\nHost: 127.0.0.1@evil.example\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_can_be_read_in_two_ways_is_refused(port: int, request_: bytes) -> None:
    answer = await exchange(port, request_)
    assert status_of(answer) == 400, answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_bare_line_feed_smuggles_nothing(port: int) -> None:
    answer = await exchange(
        port, b"GET /livez HTTP/1.1\n" + HOST + b"\r\nGET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    assert status_of(answer) in {400, 200}
    assert answer.count(b"HTTP/1.1 200") <= 2


async def test_huge_headers_are_refused_without_being_kept(port: int) -> None:
    line = b"X-Long: " + b"a" * 8000 + b"\r\n"
    answer = await exchange(port, b"GET /livez HTTP/1.1\r\n" + HOST, *[line] * 50)
    assert status_of(answer) in {0, 431}
    many = b"".join(b"X-%d: y\r\n" % number for number in range(150))
    answer = await exchange(port, b"GET /api/v1/links HTTP/1.1\r\n" + HOST + many + b"\r\n")
    assert status_of(answer) == 431


async def test_headers_that_never_end_lose_their_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\n" + HOST)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_silent_connection_is_closed(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_many_requests_on_one_connection_are_answered_in_order(port: int) -> None:
    one = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    assert (await exchange(port, one * 20)).count(b"HTTP/1.1 200") == 20


async def test_a_location_cannot_be_split(port: int, make) -> None:
    link = await make.link(url="https://example.com/?a=b", forwards_query=True)
    path = f"/{link.code}?x=%0d%0aSet-Cookie:%20a=b"
    answer = await exchange(port, f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert b"\r\nset-cookie" not in answer.lower()
    assert status_of(answer) == 302


async def test_no_address_may_hold_too_many_connections(port: int) -> None:
    whole = GuardedProtocol.limits
    GuardedProtocol.limits = replace(whole, connections_per_address=len(GuardedProtocol.held) + 4)
    held = []
    try:
        held += [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        answers = await asyncio.wait_for(held[-1][0].read(), 5)
        assert status_of(answers) == 503
    finally:
        GuardedProtocol.limits = whole
        for _, writer in held:
            writer.close()


async def test_pipelined_redirects_are_answered_in_their_order(port: int, make: Maker) -> None:
    link = await make.link()
    known = b"GET /%b HTTP/1.1\r\n" % link.code.encode() + HOST + b"\r\n"
    api = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    answers = await exchange(port, known * 2 + api + known * 1500 + api + known)
    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [302, 302, 200, *[302] * 1500, 200, 302]


async def test_a_redirect_keeps_or_closes_the_connection_as_asked(port: int, make: Maker) -> None:
    link = await make.link()
    follow = b"GET /%b HTTP/1.1\r\n" % link.code.encode() + HOST
    body = follow + b"Content-Length: 5\r\n\r\nhello"
    closing = follow + b"Connection: close\r\n\r\n"
    answers = await exchange(port, follow + b"\r\n", body, closing, follow + b"\r\n", pause_s=0.1)
    assert answers.count(b"HTTP/1.1 302") == 3
    assert answers.count(b"connection: close") == 1


async def test_a_body_that_comes_along_with_the_headers_does_not_count_as_headers(
    port: int,
) -> None:
    """At once, and cut at each byte of the end of the headers."""
    head = b"PUT /api/v1/files/upload HTTP/1.1\r\n" + HOST + b"Content-Length: 70000\r\n\r\n"
    body = b"x" * 70_000
    assert status_of(await exchange(port, head + body)) == 401
    for cut in range(1, 5):
        parts = head[:-cut], head[-cut:] + body
        assert status_of(await exchange(port, *parts, pause_s=0.02)) == 401, cut
