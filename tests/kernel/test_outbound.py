"""Calling addresses that somebody else chose, against real sockets on loopback."""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from posthouse.kernel.addresses import is_public
from posthouse.kernel.outbound import (
    Outbound,
    OutboundFailedError,
    OutboundLimits,
    OutboundRefusedError,
    OutboundTimeoutError,
)

Behave = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behave) -> AsyncGenerator[tuple[int, list[bytes]]]:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        try:
            await behave(head, writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


def loopback(address: object) -> bool:
    return str(address) == "127.0.0.1"


def outbound(port: int, **limits: object) -> Outbound:
    """A client for which loopback stands for the internet."""

    async def resolve(host: str, port: int) -> list[str]:
        del port
        return {"public.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"]}.get(host, [host])

    chosen = {"ports": frozenset({port}), "allows": loopback, "deadline_s": 2.0, **limits}
    return Outbound(OutboundLimits(**chosen), resolve)  # type: ignore[arg-type]


async def ok(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


async def test_the_name_is_sent_and_the_checked_address_is_called() -> None:
    async with server(ok) as (port, seen):
        answer = await outbound(port).request("GET", f"http://public.example:{port}/x")
    assert (answer.status, answer.body) == (200, b"hi")
    assert f"host: public.example:{port}".encode() in seen[0].lower()


async def test_the_name_is_resolved_once_for_each_hop() -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with server(ok) as (port, _):
        client = Outbound(OutboundLimits(ports=frozenset({port}), allows=loopback), rebinding)
        assert (await client.request("GET", f"http://rebind.example:{port}/")).status == 200
    assert asked == ["rebind.example"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/",
     "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://10.0.0.1/", "http://2130706433/",
     "http://0x7f000001/", "http://localhost/", "http://[fe80::1%25eth0]/", "http://100.64.0.1/",
     "ftp://example.com/", "file:///etc/passwd", "http://user@example.com/", "gopher://x/",
     "http://1.1.1.1:22/", "http://[::1", "http:///x", "", "http://224.0.0.1/",
     f"http://{'a' * 64}.example/", "http://b\u00fccher.invalid/", "http://example.com/\u00fc"],
)  # fmt: skip
async def test_what_is_not_on_the_internet_is_refused(url: str) -> None:
    with pytest.raises((OutboundRefusedError, OutboundFailedError)) as raised:
        await Outbound().request("GET", url)
    assert raised.value.code in {"outbound-refused", "outbound-failed"}


async def test_one_private_address_among_public_ones_refuses_all() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    with pytest.raises(OutboundRefusedError):
        await Outbound(resolve=both).request("GET", "http://mixed.example/")


async def test_a_redirect_inside_is_refused() -> None:
    async def inside(head: bytes, writer: asyncio.StreamWriter) -> None:
        target = b"http://inside.example:%d/" % port
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"
        )

    async with server(inside) as (port, _):
        client = outbound(port, redirects=3)
        with pytest.raises(OutboundRefusedError):
            await client.request("GET", f"http://public.example:{port}/")


@pytest.mark.parametrize(
    ("location", "asked"),
    [(b"/\xc3\xa9 \xff", b"/%C3%A9%20%FF"), (b"/%41?a=%zz", b"/%41?a=%zz")],
)
async def test_a_redirect_is_read_whatever_bytes_it_has(location: bytes, asked: bytes) -> None:
    async def lead(head: bytes, writer: asyncio.StreamWriter) -> None:
        is_first = head.startswith(b"GET / ")
        writer.write(b"HTTP/1.1 302 Found\r\n" if is_first else b"HTTP/1.1 200 OK\r\n")
        writer.write(b"Location: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    async with server(lead) as (port, seen):
        client = outbound(port, redirects=1)
        assert (await client.request("GET", f"http://public.example:{port}/")).status == 200
    assert seen[1].startswith(b"GET " + asked + b" ")


async def test_a_redirect_to_no_url_is_refused() -> None:
    async def lead(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n")

    async with server(lead) as (port, _):
        with pytest.raises(OutboundRefusedError, match="not a URL"):
            await outbound(port, redirects=1).request("GET", f"http://public.example:{port}/")


async def test_of_a_long_body_the_begin_is_read_if_that_is_enough() -> None:
    async def long(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"ab" * 70_000)

    async with server(long) as (port, _):
        client = outbound(port, body_bytes=1001, cuts_body=True)
        answer = await client.request("GET", f"http://public.example:{port}/")
    assert answer.body == b"ab" * 500 + b"a"


async def test_redirects_are_counted_and_lose_credentials() -> None:
    async def around(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
            % port
        )

    async with server(around) as (port, seen):
        with pytest.raises(OutboundFailedError, match="too often"):
            await outbound(port, redirects=2).request(
                "GET", f"http://public.example:{port}/", headers={"Authorization": "secret"}
            )
    assert len(seen) == 3
    assert b"secret" in seen[0]
    assert b"secret" not in seen[1]


async def test_without_leave_a_redirect_is_only_an_answer() -> None:
    async def around(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"
        )

    async with server(around) as (port, _):
        answer = await outbound(port).request("GET", f"http://public.example:{port}/")
    assert answer.status == 302


async def test_a_slow_drip_ends_at_the_deadline() -> None:
    async def drip(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(200):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(drip) as (port, _):
        with pytest.raises(OutboundTimeoutError):
            await outbound(port, deadline_s=0.4).request("GET", f"http://public.example:{port}/")


@pytest.mark.parametrize(
    "raw",
    [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"",
     b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000],
)  # fmt: skip
async def test_a_bad_answer_is_a_failure(raw: bytes) -> None:
    async def bad(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    async with server(bad) as (port, _):
        with pytest.raises(OutboundFailedError):
            await outbound(port).request("GET", f"http://public.example:{port}/")


async def test_a_closed_port_is_a_failure() -> None:
    async with server(ok) as (port, _):
        pass
    with pytest.raises(OutboundFailedError):
        await outbound(port).request("GET", f"http://public.example:{port}/")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("8.8.8.8", True), ("2606:4700::1", True), ("10.0.0.1", False), ("100.64.0.1", False),
     ("192.0.2.1", False), ("240.0.0.1", False), ("255.255.255.255", False), ("224.0.0.1", False),
     ("ff02::1", False), ("fc00::1", False), ("fe80::1", False), ("::", False),
     ("::ffff:8.8.8.8", True), ("::ffff:10.0.0.1", False), ("64:ff9b::8.8.8.8", True),
     ("64:ff9b::10.0.0.1", False), ("2002:808:808::1", True), ("2002:a00:1::1", False)],
)  # fmt: skip
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected
