"""A mail server that takes everything and keeps nothing: the limit of what a sender can reach.

`python -m bench.sink PORT` counts emails and says so on its standard output, a line for each
hundredth of a second in which some came: `count seconds-of-the-monotonic-clock`.
"""

import asyncio
import sys
import time
from typing import Any

import uvloop

_BANNER = b"220 sink\r\n"
_HELLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 33554432\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    taken = 0

    def __init__(self) -> None:
        """Begin between two emails."""
        self.left = b""
        self.is_in_data = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Greet."""
        self.transport = transport
        transport.write(_BANNER)

    def data_received(self, data: bytes) -> None:
        """Answer each command; an email ends with a line of one dot."""
        buffer, answers = self.left + data, b""
        while buffer:
            if self.is_in_data:
                end = buffer.find(b"\r\n.\r\n")
                if end < 0:
                    break
                buffer, self.is_in_data = buffer[end + 5 :], False
                Sink.taken += 1
                answers += b"250 taken\r\n"
                continue
            line, found, rest = buffer.partition(b"\r\n")
            if not found:
                break
            buffer = rest
            verb = line[:4].upper()
            if verb == b"DATA":
                self.is_in_data = True
                answers += b"354 go on\r\n"
            elif verb in {b"EHLO", b"HELO"}:
                answers += _HELLO
            elif verb == b"QUIT":
                answers += b"221 bye\r\n"
            else:
                answers += b"250 ok\r\n"
        self.left = buffer
        if answers:
            self.transport.write(answers)


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=512)
    told = 0
    async with server:
        while True:
            await asyncio.sleep(0.01)
            if Sink.taken != told:
                told = Sink.taken
                sys.stdout.write(f"{told} {time.monotonic()}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
