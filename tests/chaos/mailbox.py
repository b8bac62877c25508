"""Providers on loopback that write down what they take, and now and then lose their own answer.

Both are as fast as the test process. A dropped answer is the case that nobody can tell from a lost
message: it was taken, and the connection ended before that was said.
"""

import asyncio
import json
import random  # noqa: TID251  a seeded choice, no secret
import re
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TypeVar
from urllib.parse import parse_qs

_T = TypeVar("_T", bound="Taker")
_GONE = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that was taken: `key` is its Message-ID, `at` is of the monotonic clock."""

    address: str
    key: str
    at: float
    wall_s: float
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Taker:
    """Something that takes messages. `open` is how many it is being handed at this moment.

    It thinks for up to `slow_s` before it takes one, and loses an answer with the chance `drops`.
    """

    dice: random.Random = field(default_factory=lambda: random.Random(0))
    drops: float = 0.0
    slow_s: float = 0.0
    port: int = 0
    open: int = 0
    connections: int = 0
    dropped: int = 0
    is_hanging: bool = False
    takes: dict[str, list[Taken]] = field(
        default_factory=lambda: defaultdict[str, list[Taken]](list)
    )

    def all(self) -> list[Taken]:
        return [one for some in self.takes.values() for one in some]

    def to(self, address: str) -> list[Taken]:
        return self.takes.get(address, [])

    @property
    def extra(self) -> int:
        """How many messages came more than once, counted each time but the first."""
        return sum(len(some) - 1 for some in self.takes.values())

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            if self.is_hanging:
                await asyncio.sleep(3600)
            await self.converse(reader, writer)
        except _GONE:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def take(self, address: str, key: str, headers: dict[str, str]) -> bool:
        """Take a message; False if nobody is to hear of it."""
        if self.slow_s:
            await asyncio.sleep(self.dice.uniform(0, self.slow_s))
        self.takes[address].append(Taken(address, key, monotonic(), time(), headers))
        if self.dice.random() < self.drops:
            self.dropped += 1
            return False
        return True


@dataclass(slots=True)
class Mailbox(Taker):
    """Takes emails by SMTP, pipelined."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mailbox\r\n")
        recipient = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-mailbox\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"RCPT":
                recipient = line.decode().partition("<")[2].partition(">")[0]
                writer.write(b"250 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                if not await self.take(recipient, _message_id(raw), {}):
                    return
                writer.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()


@dataclass(slots=True)
class Phones(Taker):
    """Takes text messages as Twilio does: it honours no key, each request is a message."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
            pairs = (line.partition(":") for line in head[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if not await self.take(form["To"], form["Body"], headers):
                return
            said = json.dumps({"sid": f"SM{len(self.takes):032x}", "status": "queued"}).encode()
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()


def _message_id(raw: bytes) -> str:
    found = re.search(rb"^Message-ID:\s*<([^>]*)>", raw, re.IGNORECASE | re.MULTILINE)
    return found[1].decode() if found else ""


@asynccontextmanager
async def taking(taker: _T) -> AsyncGenerator[_T]:
    """Listen on a free port until the block ends."""
    talks: set[asyncio.Task[None]] = set()

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.get_running_loop().create_task(taker.talk(reader, writer))
        talks.add(talk)
        talk.add_done_callback(talks.discard)

    server = await asyncio.start_server(met, "127.0.0.1", 0, limit=2**24)
    taker.port = server.sockets[0].getsockname()[1]
    try:
        yield taker
    finally:
        server.close()
        left = list(talks)
        for talk in left:
            talk.cancel()
        if left:
            await asyncio.wait(left)
