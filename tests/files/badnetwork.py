"""A network that cuts connections: a TCP proxy that lets so many bytes through, then hangs up."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 16_384


@dataclass(slots=True)
class BadNetwork:
    """Stands before a server. Each connection takes its room from `rooms`, in bytes sent to the
    server, and is cut when they are used up, by a reset and by an end in turn; when no rooms are
    left the network is good.
    """

    server_port: int
    rooms: Iterator[int]
    port: int = 0
    cuts: list[int] = field(default_factory=list[int])
    _open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until its end, or its cut."""
        room = next(self.rooms, None)
        upstream, onward = await asyncio.open_connection("127.0.0.1", self.server_port)
        self._open |= {writer, onward}
        try:
            back = asyncio.ensure_future(_pass(upstream, writer))
            forth = asyncio.ensure_future(_pass(reader, onward, room))
            await asyncio.wait({back, forth}, return_when=asyncio.FIRST_COMPLETED)
            if room is not None and forth.done() and forth.result():
                self.cuts.append(room)
                if len(self.cuts) % 2:
                    # A server looks at what has come only while the connection is there.
                    await asyncio.sleep(0.1)
                    await _end(onward)
            for one in (back, forth):
                one.cancel()
            await asyncio.wait({back, forth})
        finally:
            for one in (writer, onward):
                one.transport.abort()
                self._open.discard(one)

    def hang_up(self) -> None:
        for one in list(self._open):
            one.transport.abort()


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, room: int | None = None
) -> bool:
    """Pass bytes on until they end, or until the room for them does: then it is True."""
    with suppress(ConnectionError):
        while room is None or room > 0:
            piece = await reader.read(_PIECE if room is None else min(_PIECE, room))
            if not piece:
                return False
            writer.write(piece)
            await writer.drain()
            room = None if room is None else room - len(piece)
    return room == 0


async def _end(writer: asyncio.StreamWriter) -> None:
    """Close so that what was sent arrives; a reset may take it along."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def bad_network(server_port: int, rooms: Iterator[int]) -> AsyncGenerator[BadNetwork]:
    """Run a bad network while the block runs."""
    network = BadNetwork(server_port, rooms)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        network.hang_up()
        await server.wait_closed()
