"""The real product as separate processes that can be killed, stopped and started again."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import asyncpg

import posthouse
from posthouse.embedded import postgres, valkey
from posthouse.embedded.place import Place, open_place
from posthouse.embedded.process import Command, Process
from posthouse.embedded.servers import start_servers
from posthouse.embedded.supervisor import Supervisor
from tests.chaos.wire import CutError, Line, RefusedError

SECRET = "a secret for chaos only: 5d4a39281706f5e4d3c2b1a08c1b7f6e"
READY_S = 60.0
_ROOT = Path(__file__).parent.parent.parent
HTTP: tuple[str, ...] = ("http0", "http1")
WORKERS = ("worker0",)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to a part, from when until when it was well again."""

    part: str
    what: str
    began_at: float
    ended_at: float = float("inf")


@dataclass(slots=True)
class House:
    """All parts of one installation. HTTP processes have a port each."""

    place: Place
    supervisor: Supervisor
    environ: dict[str, str]
    ports: dict[str, int]
    database_url: str
    valkey_url: str
    key: str = ""
    program: str = "posthouse"
    processes: dict[str, Process] = field(default_factory=dict[str, Process])
    lives: dict[str, int] = field(default_factory=dict[str, int])
    told: dict[Path, int] = field(default_factory=dict[Path, int])
    faults: list[Fault] = field(default_factory=list[Fault])

    async def start(self, part: str, **environ: str) -> None:
        """Start an HTTP process or a worker; it is at work when this returns."""
        verb = "serve" if part in self.ports else "worker"
        told = {**self.environ, "POSTHOUSE_PORT": str(self.ports.get(part, 1)), **environ}
        command = Command(
            argv=(sys.executable, "-m", self.program, verb),
            env=told,
            parting_signal=signal.SIGKILL,
            log_path=self.place.logs / f"{part}.log",
        )
        self.lives[part] = self.lives.get(part, 0) + 1
        self.processes[part] = Process(command)
        async with asyncio.timeout(READY_S):
            while not await self._is_at_work(part):
                if self.processes[part].has_ended:  # as a supervisor would
                    self.processes[part] = Process(command)
                await asyncio.sleep(0.05)

    async def _is_at_work(self, part: str) -> bool:
        if part in self.ports:
            return await self.readiness(part) == 200
        sql = "SELECT FROM pg_stat_activity WHERE application_name = 'posthouse jobs'"
        return bool(await self.rows(sql))

    async def readiness(self, part: str) -> int:
        """What /readyz answers; 0 if nothing does."""
        line = Line(self.ports[part])
        try:
            return (await line.ask("GET", "/readyz")).status
        except (RefusedError, CutError):
            return 0
        finally:
            line.close()

    async def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal a process of ours, wait for its end, and give its exit code."""
        began_at = monotonic()
        process = self.processes[part]
        process.signal(number)
        async with asyncio.timeout(READY_S):
            code = await process.wait()
        self.faults.append(Fault(part, number.name, began_at, monotonic()))
        return code

    async def restart(self, part: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Kill a process and start it again."""
        code = await self.kill(part, number)
        await self.start(part)
        self.faults[-1] = _ended(self.faults[-1])
        return code

    def server_pid(self, name: str) -> int:
        """The process of Postgres or Valkey now."""
        return self.supervisor.pid(name)

    async def crash_server(self, name: str) -> None:
        """SIGKILL Postgres or Valkey; the supervisor starts it again, and we wait for that."""
        began_at = monotonic()
        before = self.supervisor.restarts(name)
        os.kill(self.server_pid(name), signal.SIGKILL)
        await asyncio.sleep(0.05)
        await self._until_server_answers(name, before)
        self.faults.append(Fault(name, "SIGKILL", began_at, monotonic()))

    async def _until_server_answers(self, name: str, restarts: int) -> None:
        async with asyncio.timeout(READY_S):
            while self.supervisor.restarts(name) == restarts or not await self._answers(name):
                await asyncio.sleep(0.02)

    async def _answers(self, name: str) -> bool:
        try:
            if name == valkey.NAME:
                return await _ping(self.place.sockets / "valkey.sock")
            connection = await asyncpg.connect(self.database_url, timeout=2)
            await connection.close(timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def pause_server(self, name: str, for_s: float) -> None:
        """SIGSTOP Postgres or Valkey for a while."""
        began_at = monotonic()
        pid = self.server_pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.faults.append(Fault(name, "SIGSTOP", began_at, monotonic()))

    @asynccontextmanager
    async def without(self, name: str) -> AsyncGenerator[None]:
        """Run the block with Postgres or Valkey killed; it answers again after the block."""
        began_at = monotonic()
        os.kill(self.server_pid(name), signal.SIGKILL)
        await self.supervisor.stop(name)
        try:
            yield
        finally:
            if name == valkey.NAME:
                await valkey.start_valkey(self.supervisor, self.place)
            else:
                await postgres.start_postgres(self.supervisor, self.place)
            self.faults.append(Fault(name, "SIGKILL", began_at, monotonic()))

    def line(self, part: str = "http0") -> Line:
        """A connection to an HTTP process, with the owner's key."""
        return Line(self.ports[part], self.key)

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Ask the database past the product."""
        connection = await asyncpg.connect(self.database_url, timeout=5)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close(timeout=5)

    def tail(self) -> str:
        """What all parts have said since the last time that this was asked, for a failure."""
        texts: list[str] = []
        for path in sorted(self.place.logs.glob("*.log")):
            said = path.read_text("utf-8")
            texts.append(f"--- {path.name}\n{said[self.told.get(path, 0) :][-8000:]}")
            self.told[path] = len(said)
        return "\n".join(texts)


def _ended(fault: Fault) -> Fault:
    return Fault(fault.part, fault.what, fault.began_at, monotonic())


async def _ping(path: Path) -> bool:
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def open_house(
    data: Path,
    *,
    program: str = "posthouse",
    workers: tuple[str, ...] = WORKERS,
    **environ: str,
) -> AsyncGenerator[House]:
    """Start everything: durable servers, two HTTP processes, one worker unless more are named."""
    supervisor = Supervisor()
    async with open_place(data) as place:
        house: House | None = None
        try:
            servers = await start_servers(supervisor, place, durable=True)
            ports = {part: free_port() for part in HTTP}
            house = House(
                place,
                supervisor,
                _environ(data, ports["http0"], servers.database_url, servers.valkey_url),
                ports,
                servers.database_url,
                servers.valkey_url,
                program=program,
            )
            house.environ |= environ
            house.key = await _prepare(house)
            for part in (*HTTP, *workers):
                await house.start(part)
            yield house
        finally:
            for process in house.processes.values() if house else ():
                process.kill()
                await process.wait()
            await supervisor.stop()


def _environ(data: Path, port: int, database_url: str, valkey_url: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "PYTHONPATH": f"{Path(posthouse.__file__).parent.parent}:{_ROOT}",
        "POSTHOUSE_DATA": str(data),
        "POSTHOUSE_DATABASE_URL": database_url,
        "POSTHOUSE_VALKEY_URL": valkey_url,
        "POSTHOUSE_SECRET": SECRET,
        "POSTHOUSE_HOST": "127.0.0.1",
        "POSTHOUSE_ADMIN_PORT": "0",
        "POSTHOUSE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "POSTHOUSE_HTTP_PROCESSES": "2",
        "POSTHOUSE_LOG_LEVEL": "warning",
        "POSTHOUSE_STOP_GRACE_S": "0.3",
        "POSTHOUSE_RATE_PER_S": "100000",
        "POSTHOUSE_RATE_BURST": "100000",
        "POSTHOUSE_LINKS_SHORTEN_PER_S": "100000",
        "POSTHOUSE_LINKS_SHORTEN_BURST": "100000",
        "POSTHOUSE_LINKS_UNKNOWN_PER_MINUTE": "100000",
    }


async def _prepare(house: House) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posthouse", "prepare"),
        env=house.environ,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(READY_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)["first_run"]["api_key"]
