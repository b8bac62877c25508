"""A posthouse of its own for each bench: real servers in a scratch folder, removed at the end."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg

from bench.measure import cores
from posthouse.embedded import embedded_servers
from posthouse.embedded.process import Command, Process

_READY_S = 30.0
_STOP_S = 30.0


def free_port() -> int:
    """A port of loopback that is free right now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Served:
    """A server process under test."""

    process: Process
    port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


@dataclass(slots=True)
class House:
    """A migrated database with one workspace and its key, and the environment of its processes."""

    environ: Mapping[str, str]
    database_url: str
    valkey_url: str
    workspace_id: UUID
    api_key: str
    core: set[int]
    _running: list[Process] = field(default_factory=list[Process])

    async def serve(self, *words: str) -> Served:
        """Start `posthouse serve` on its own core; `words` are settings such as `LOG_LEVEL=info`."""
        return await self._start(("-m", "posthouse", "serve"), words)

    async def limit(self, name: str, *words: str) -> Served:
        """Start one of `bench.limits` on the same core."""
        return await self._start(("-m", "bench.limits", name), words)

    async def work(self, *, is_measured: bool = False) -> Process:
        """Start `posthouse worker`; the one that is measured has its own core."""
        process = Process(
            Command(argv=(sys.executable, "-m", "posthouse", "worker"), env=self.environ)
        )
        self._running.append(process)
        if is_measured:
            os.sched_setaffinity(process.pid, self.core)
        return process

    async def _start(self, argv: tuple[str, ...], words: Sequence[str]) -> Served:
        port = free_port()
        chosen = dict(word.split("=", 1) for word in words)
        env = {
            **self.environ,
            **{f"POSTHOUSE_{name}": value for name, value in chosen.items()},
            "POSTHOUSE_PORT": str(port),
            "POSTHOUSE_ADMIN_PORT": str(free_port()),
        }
        process = Process(Command(argv=(sys.executable, *argv), env=env))
        self._running.append(process)
        os.sched_setaffinity(process.pid, self.core)
        await _answers(process, port)
        return Served(process, port)

    async def stop(self, process: Process) -> None:
        """Stop one process, at once if it does not go."""
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        self._running.remove(process)

    async def stop_all(self) -> None:
        """Stop what still runs."""
        for process in list(self._running):
            await self.stop(process)

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to the database; the caller closes."""
        return await asyncpg.connect(self.database_url)

    async def add_links(self, count: int, *, prefix: str = "b") -> list[str]:
        """Add plain links to the workspace; give their codes."""
        connection = await self.connect()
        try:
            await connection.execute(_LINKS, self.workspace_id, count, prefix)
            await connection.execute("VACUUM ANALYZE links")
        finally:
            await connection.close()
        return [f"{prefix}{number:06x}" for number in range(1, count + 1)]


_LINKS = """
INSERT INTO links (id, workspace_id, domain_id, code, url, title, created_by)
SELECT uuidv7(), $1, d.id, $3 || lpad(to_hex(n), 6, '0'),
  'https://shop.example.com/products/' || n || '?source=newsletter', 'Link ' || n, 'bench'
FROM generate_series(1, $2::int) n, domains d WHERE d.host = '127.0.0.1'
"""
"""links (workspace, count, prefix of the codes)"""


@asynccontextmanager
async def open_house(*, durable: bool = True) -> AsyncGenerator[House]:
    """Make a house; its servers run beside the load, not on the core that is measured."""
    own, others = cores()
    os.sched_setaffinity(0, others)
    folder = Path(tempfile.mkdtemp(prefix="ph-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        async with embedded_servers(folder / "data", durable=durable) as endpoints:
            environ = {
                **{k: v for k, v in os.environ.items() if not k.startswith("POSTHOUSE_")},
                "POSTHOUSE_DATA": str(folder),
                "POSTHOUSE_DATABASE_URL": endpoints.database_url,
                "POSTHOUSE_VALKEY_URL": endpoints.valkey_url,
                "POSTHOUSE_SECRET": "a secret of the bench alone: 0f1e2d3c4b5a69788796a5b4c3d2e1f0",
                "POSTHOUSE_PUBLIC_URL": "http://127.0.0.1",
                "POSTHOUSE_STOP_GRACE_S": "0",
            }
            key = await _prepare(environ, folder / "answer")
            connection = await asyncpg.connect(endpoints.database_url)
            workspace_id = await connection.fetchval("SELECT id FROM workspaces")
            await connection.close()
            house = House(
                environ, endpoints.database_url, endpoints.valkey_url, workspace_id, key, own
            )
            try:
                yield house
            finally:
                await house.stop_all()
    finally:
        os.sched_setaffinity(0, own | others)
        shutil.rmtree(folder, ignore_errors=True)


async def _prepare(environ: Mapping[str, str], answer: Path) -> str:
    """Run `posthouse prepare`; give the key that it makes."""
    with answer.open("w+b") as out:
        argv = (sys.executable, "-m", "posthouse", "prepare", "--json")
        process = Process(Command(argv=argv, env=environ, stdout_fd=out.fileno()))
        if await process.wait():
            raise RuntimeError("`posthouse prepare` failed; its own words are above")
    key: str = json.loads(answer.read_text("utf-8"))["first_run"]["api_key"]
    return key


async def _answers(process: Process, port: int) -> None:
    """Wait until something listens."""
    ends_at = time.monotonic() + _READY_S
    while time.monotonic() < ends_at:
        if process.has_ended:
            raise RuntimeError("a server ended before it was ready; its own words are above")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise RuntimeError(f"nothing answered on port {port} within {_READY_S:g} s")
