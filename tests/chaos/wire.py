"""A small HTTP/1.1 client that knows when an answer was cut off, and costs little."""

import asyncio
import json
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

ANSWER_S = 15.0
GONE = (ConnectionError, asyncio.IncompleteReadError, OSError, EOFError)


class RefusedError(Exception):
    """Nobody took the connection: the request was never sent."""


class CutError(Exception):
    """The connection ended before the answer did: nobody knows whether it was done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and when it was asked for and had."""

    status: int
    headers: dict[str, str]
    body: bytes
    asked_at: float
    had_at: float

    @property
    def took_s(self) -> float:
        return self.had_at - self.asked_at

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


@dataclass(slots=True)
class Line:
    """One connection to a port, opened when it is needed; one request at a time."""

    port: int
    key: str = ""
    agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(
        default=None, init=False
    )

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    async def connect(self) -> None:
        """Connect, if that is not done.

        Raises:
            RefusedError: nobody listens.
        """
        if self._streams is None:
            try:
                async with asyncio.timeout(ANSWER_S):
                    self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                raise RefusedError from error

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send a request and read its answer.

        Raises:
            RefusedError: nobody listens.
            CutError: the answer did not come, or not whole.
        """
        await self.connect()
        assert self._streams
        reader, writer = self._streams
        asked_at = monotonic()
        try:
            writer.write(self._request(method, path, body, headers))
            async with asyncio.timeout(ANSWER_S):
                answer = await _read(reader, asked_at)
        except GONE as error:
            self.close()
            raise CutError(f"{method} {path}: {type(error).__name__}") from error
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def _request(self, method: str, path: str, body: object, headers: dict[str, str]) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines.append(f"User-Agent: {self.agent}")
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        elif method != "GET":
            lines.append("Content-Length: 0")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + data

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader: asyncio.StreamReader, asked_at: float) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (r.partition(":") for r in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(first.split(" ")[1]), headers, body, asked_at, monotonic())
