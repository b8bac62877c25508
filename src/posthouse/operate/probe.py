"""Ask an HTTP server of ours whether it is well, without a client library."""

import asyncio
from contextlib import suppress


async def status_of(host: str, port: int, path: str) -> int:
    """The HTTP status that `GET path` gives; the caller sets the time limit.

    Raises:
        OSError: nobody answers.
        EOFError: the answer breaks off.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        first = (await reader.readline()).split()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if len(first) < 2 or not first[1].isdigit():  # noqa: PLR2004 - HTTP/1.1 200
        raise EOFError("no HTTP status in the answer")
    return int(first[1])
