"""Other sides on loopback that follow a script: they answer, hang, talk rubbish or hang up."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG = b"hang"
CLOSE = b"close"
OK = {
    "banner": b"220 sink.example ready\r\n",
    "ehlo": b"250-sink.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n",
    "mail": b"250 2.1.0 ok\r\n",
    "rcpt": b"250 2.1.5 ok\r\n",
    "data": b"354 go on\r\n",
    "end": b"250 2.0.0 queued as 42\r\n",
    "rset": b"250 ok\r\n",
    "quit": b"221 bye\r\n",
    "starttls": b"220 go on\r\n",
    "auth": b"235 2.7.0 ok\r\n",
}


@dataclass(slots=True)
class ScriptedSmtp:
    """An SMTP server that takes everything, but for what `answers` says; `mails` are as sent."""

    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    mails: list[bytes] = field(default_factory=list[bytes])
    commands: list[str] = field(default_factory=list[str])
    connections: int = 0
    once: dict[str, bytes] = field(default_factory=dict[str, bytes])
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._answer("banner", writer):
            return
        while line := await reader.readline():
            self.commands.append(line.decode().strip())
            stage = line.split()[0].decode().lower() if line.split() else "?"
            if not await self._answer(stage, writer):
                return
            if stage == "data" and self.answers.get("data", OK["data"]).startswith(b"354"):
                mail = (
                    await reader.readuntil(b"\r\n.\r\n") if not await self._is_dot(reader) else b""
                )
                if mail:
                    self.mails.append(mail.removesuffix(b".\r\n"))
                if not await self._answer("end", writer):
                    return
            if stage == "quit":
                return

    async def _is_dot(self, reader: asyncio.StreamReader) -> bool:
        first = await reader.readexactly(3)
        if first == b".\r\n":
            return True
        reader._buffer[:0] = first  # type: ignore[attr-defined]
        return False

    async def _answer(self, stage: str, writer: asyncio.StreamWriter) -> bool:
        answer = self.once.pop(stage, None) or self.answers.get(stage) or OK.get(stage)
        if answer == HANG:
            await asyncio.sleep(60)
        if answer == CLOSE:
            return False
        writer.write(answer or b"500 5.5.1 what?\r\n")
        await writer.drain()
        return True

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Said:
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes = b""


Answering = Callable[[Asked], Said]


@dataclass(slots=True)
class StubHttp:
    """An HTTP server; `answering` says what to each request, HANG and CLOSE as `raw` too."""

    answering: Answering = field(default=lambda _: Said())
    asked: list[Asked] = field(default_factory=list[Asked])
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        asked = Asked(method, path, headers, body)
        said = self.answering(asked)
        self.asked.append(asked)
        if said.raw == HANG:
            await asyncio.sleep(60)
        if said.raw == CLOSE:
            return False
        extra = "".join(f"{name}: {value}\r\n" for name, value in said.headers)
        length = f"Content-Length: {len(said.body)}\r\n\r\n"
        whole = f"HTTP/1.1 {said.status} X\r\n{extra}{length}".encode() + said.body
        writer.write(said.raw or whole)
        await writer.drain()
        return not said.raw


@asynccontextmanager
async def serving(side: ScriptedSmtp | StubHttp) -> AsyncGenerator[None]:
    """Listen on a free port until the block ends."""
    talks: set[asyncio.Task[None]] = set()

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.get_running_loop().create_task(side.talk(reader, writer))
        talks.add(talk)

    server = await asyncio.start_server(met, "127.0.0.1", 0)
    side.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.wait(talks) if talks else None
