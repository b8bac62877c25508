"""Bring the whole house up with one command, and take it down again in good order."""

import asyncio
import json
import logging
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from posthouse.embedded import postgres, valkey
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.place import Place, open_place
from posthouse.embedded.process import Command
from posthouse.embedded.servers import start_servers
from posthouse.embedded.supervisor import Child, Supervisor
from posthouse.operate import keep, preparation, probe
from posthouse.operate.environment import House, Options, furnish, own_environment
from posthouse.operate.warm import Gate, make_gate

HTTP, WORKER = "http", "worker"
STOP_ORDER = (HTTP, WORKER, valkey.NAME, postgres.NAME)
OK = 200


def main(
    data: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    is_quiet: bool = False,
) -> int:
    """Run the house until it is told to stop; give the exit code."""
    logging.basicConfig(level=logging.WARNING, format="posthouse: %(message)s", stream=sys.stderr)
    return asyncio.run(up(Options(data=data, host=host, port=port, is_quiet=is_quiet)))


async def up(options: Options) -> int:
    """Start everything, say where it answers, and wait for SIGINT or SIGTERM.

    Returns:
        0 after a clean stop, 1 after a failure, which is told on stderr.

    Raises:
        CancelledError: somebody else than a signal cancelled us.
    """
    stop = _Stop(Supervisor(), asyncio.current_task())
    stop.listen()
    try:
        async with AsyncExitStack() as stack:
            await _Run(stop, options, stack).forever()
    except EmbeddedError as error:
        _say(sys.stderr, f"posthouse cannot start. {error}")
        return 1
    except asyncio.CancelledError:
        if not stop.is_asked:
            raise
    return 0


@dataclass(slots=True)
class _Stop:
    """The first signal stops us in good order, one more at once."""

    supervisor: Supervisor
    task: "asyncio.Task[Any] | None"
    is_asked: bool = False
    is_under_way: bool = False

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._heard)

    async def stop(self) -> None:
        """Stop the children in order."""
        self.is_under_way = True
        for name in STOP_ORDER:
            await self.supervisor.stop(name)
        await self.supervisor.stop()

    def _heard(self) -> None:
        if self.is_asked or self.is_under_way:
            self.supervisor.hurry()
        elif self.task:
            self.is_asked = True
            self.task.cancel()


@dataclass(slots=True)
class _Run:
    """One run of the house, from the lock to the end of the last child."""

    stop: _Stop
    options: Options
    stack: AsyncExitStack
    gate: Gate = field(default_factory=make_gate)

    async def forever(self) -> None:
        """Start, then sleep until we are cancelled."""
        self.stack.callback(self.gate.close)
        environ = own_environment()
        place = await self.stack.enter_async_context(open_place(self.options.data_dir(environ)))
        self.stack.push_async_callback(self.stop.stop)
        house = furnish(place, self.options, environ)
        first_run = await self._start(place, house)
        if not self.options.is_quiet:
            _say(sys.stdout, _welcome(house, first_run))
        await asyncio.Event().wait()

    async def _start(self, place: Place, house: House) -> dict[str, Any] | None:
        """Start every part, with what can overlap at once; give what a first run made."""
        supervisor = self.stop.supervisor
        await supervisor.launch(self._http(place, house))
        is_new = not (place.root / "cli.json").exists()
        prepare = self._prepare(place, house) if is_new else None
        await _start_servers(supervisor, place, house)
        if prepare is None and not await preparation.is_needless(place, house):
            prepare = self._prepare(place, house)
        first_run = await prepare.finish() if prepare else None
        key = first_run["api_key"] if first_run else None
        keep.remember_client(place.root, house.public_url, key)
        self.gate.open()
        await supervisor.keep(HTTP)
        await supervisor.start(_worker(place, house))  # not before: they would share two cores
        return first_run

    def _prepare(self, place: Place, house: House) -> preparation.Preparation:
        prepare = preparation.launch(place, house)
        self.stack.push_async_callback(prepare.end)
        return prepare

    def _http(self, place: Place, house: House) -> Child:
        async def is_ready() -> bool:
            return await probe.status_of(house.connect_host, house.port, "/readyz") == OK

        command = Command(
            argv=self.gate.argv("posthouse.operate.serve", "serve"),
            env=house.environ,
            keep_fds=(place.lock.fd, self.gate.fd),
        )
        return Child(name=HTTP, command=command, is_ready=is_ready)


def _worker(place: Place, house: House) -> Child:
    async def is_ready() -> bool:
        return True  # it has nobody to answer

    command = Command(
        argv=(sys.executable, "-m", "posthouse", "worker"),
        env=house.worker_environ(),
        keep_fds=(place.lock.fd,),
    )
    return Child(name=WORKER, command=command, is_ready=is_ready)


async def _start_servers(supervisor: Supervisor, place: Place, house: House) -> None:
    """Start those servers that the environment does not name."""
    given = house.environ.get("POSTHOUSE_POSTGRES_BIN")
    bin_dir = Path(given) if given else None
    if house.has_own_postgres and house.has_own_valkey:
        await start_servers(supervisor, place, postgres_bin=bin_dir)
    elif house.has_own_postgres:
        await postgres.start_postgres(supervisor, place, bin_dir=bin_dir)
    elif house.has_own_valkey:
        await valkey.start_valkey(supervisor, place)


def _welcome(house: House, first_run: dict[str, Any] | None) -> str:
    lines = [f"Posthouse is ready: {house.public_url}"]
    if house.port != house.wanted_port:
        lines.append(f"Port {house.wanted_port} is taken, so it is {house.port} this time.")
    if first_run:
        own_url = f"http://{house.connect_host}:{house.port}"
        key = first_run["api_key"]
        body = json.dumps({"url": "https://example.com/"})
        curl = (
            f"curl -sS {own_url}/api/v1/shorten -H 'Authorization: Bearer {key}'"
            f" -H 'Content-Type: application/json' -d '{body}'"
        )
        lines += [
            "",
            "This is the first run. These are shown once:",
            f"  workspace  {first_run['workspace']}",
            f"  owner      {first_run['owner']}",
            f"  password   {first_run['password']}",
            f"  API key    {key}",
            "",
            "Make a short link:",
            f"  {curl}",
        ]
    return "\n".join(lines)


def _say(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()
