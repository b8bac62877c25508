"""Ask the servers one plain question over their socket, without a driver.

The parent of `posthouse up` stays small: asyncpg and redis-py cost it 25 MB each.
Postgres: https://www.postgresql.org/docs/18/protocol-flow.html (3.0, no password, simple query).
"""

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PROTOCOL_3 = 196608
Row = list[str | None]


class AnswerError(Exception):
    """Postgres answered with an error; `code` is its SQLSTATE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


async def query(socket: Path, sql: str, *, user: str, database: str) -> list[Row]:
    """Run one statement in a connection of its own and return its rows as text.

    Raises:
        AnswerError: Postgres refused the connection or the statement.
    """
    async with _connected(socket) as (reader, writer):
        names = b"user\0%b\0database\0%b\0\0" % (user.encode(), database.encode())
        writer.write(struct.pack("!ii", 8 + len(names), PROTOCOL_3) + names)
        await _answer(reader)
        text = sql.encode() + b"\0"
        writer.write(b"Q" + struct.pack("!i", 4 + len(text)) + text)
        rows = await _answer(reader)
        writer.write(b"X" + struct.pack("!i", 4))
        return rows


async def ping(socket: Path) -> bool:
    """Whether Valkey answers and has finished loading its data."""
    async with _connected(socket) as (reader, writer):
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"


@asynccontextmanager
async def _connected(
    socket: Path,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> list[Row]:
    """Read messages until Postgres is ready for the next one.

    Raises:
        AnswerError: it answered with an error, which ends this connection for us.
    """
    rows: list[Row] = []
    while True:
        kind, size = struct.unpack("!ci", await reader.readexactly(5))
        body = await reader.readexactly(size - 4)
        if kind == b"E":
            raise AnswerError(*_failure(body))
        if kind == b"R" and body[:4] != b"\0\0\0\0":
            raise AnswerError("28000", "Postgres asks for a password")
        if kind == b"D":
            rows.append(_row(body))
        if kind == b"Z":
            return rows


def _row(body: bytes) -> Row:
    row: Row = []
    at = 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        row.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return row


def _failure(body: bytes) -> tuple[str, str]:
    """The SQLSTATE and the message of an ErrorResponse."""
    parts = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return parts.get(b"C", "?????"), parts.get(b"M", "no message")
