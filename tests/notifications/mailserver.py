"""A mail server that does what it is told: takes, refuses, stalls or hangs up, by recipient."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

DROP = "drop"
STALL = "stall"
_ANSWERS = {
    "EHLO": "250-test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 33554432",
    "MAIL": "250 ok",
    "RSET": "250 ok",
    "NOOP": "250 ok",
    "QUIT": "221 bye",
}


@dataclass(frozen=True)
class Mail:
    """What was taken, or was sent whole before the server hung up."""

    sender: str
    recipient: str
    raw: bytes
    at: float

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)  # type: ignore[return-value]

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])


Script = Callable[[str], str | None]


@dataclass
class MailServer:
    """`on_rcpt` and `on_end` give the answer for a recipient, DROP, STALL, or None for 250."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    lost: list[Mail] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    delay_s: float = 0.0
    on_rcpt: Script = lambda _: None
    on_end: Script = lambda _: None
    on_hello: Script = lambda _: None

    def to(self, recipient: str) -> list[Mail]:
        return [mail for mail in self.mails if mail.recipient == recipient]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")

        greeting = self.on_hello("")
        if greeting == DROP:
            return
        say(greeting or "220 test")
        sender = recipient = ""
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            verb, goes_on = line[:4].upper(), True
            if verb == "MAIL":
                sender, recipient = _address(line), ""
            elif verb == "RCPT":
                recipient, goes_on = self._rcpt(_address(line), say)
            elif verb == "DATA":
                goes_on = await self._data(reader, sender, recipient, say)
            if verb in _ANSWERS:
                say(_ANSWERS[verb])
            if verb == "QUIT" or not goes_on:
                return
            await writer.drain()

    def _rcpt(self, recipient: str, say: Callable[[str], None]) -> tuple[str, bool]:
        answer = self.on_rcpt(recipient)
        if answer != DROP:
            say(answer or "250 ok")
        return recipient if answer is None else "", answer != DROP

    async def _data(
        self, reader: asyncio.StreamReader, sender: str, recipient: str, say: Callable[[str], None]
    ) -> bool:
        if not recipient:
            say("503 no recipient")
            return True
        say("354 go on")
        raw = await reader.readuntil(b"\r\n.\r\n")
        return await self._end(Mail(sender, recipient, raw[:-3], _now()), say)

    async def _end(self, mail: Mail, say: Callable[[str], None]) -> bool:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answer = self.on_end(mail.recipient)
        if answer in {DROP, STALL}:
            self.lost.append(mail)
            if answer == STALL:
                await asyncio.sleep(60)
            return False
        if answer is None:
            self.mails.append(mail)
        say(answer or "250 taken")
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()


def _address(line: str) -> str:
    found = re.search(r"<([^>]*)>", line)
    return found[1] if found else ""


@asynccontextmanager
async def mail_server() -> AsyncGenerator[MailServer]:
    mail = MailServer()
    server = await asyncio.start_server(mail.serve, "127.0.0.1", 0, limit=2**24)
    mail.port = server.sockets[0].getsockname()[1]
    try:
        yield mail
    finally:
        server.close()
