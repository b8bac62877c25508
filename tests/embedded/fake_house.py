"""The real `posthouse up` over fake `prepare`, `serve` and `worker`, so that a run takes a second.

What the fakes must keep to is what the real commands promise: `prepare --json` answers on stdout,
`serve` answers /readyz, both and `worker` take their addresses from the environment.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import posthouse
from tests.embedded.parents import TIMEOUT_S

FAKE_MAIN = """
import asyncio, json, os, pathlib, signal, sys

def note(name):
    data = pathlib.Path(os.environ["POSTHOUSE_DATA"])
    (data / f"{name}.pid").write_text(str(os.getpid()))
    (data / f"{name}.env").write_text(json.dumps(dict(os.environ)))

def prepare():
    if message := os.environ.get("FAKE_FAILURE"):
        sys.exit(message)
    done = pathlib.Path(os.environ["POSTHOUSE_DATA"]) / "prepared"
    first_run = None if done.exists() else {
        "workspace": "wsp_1", "owner": "me@example.com", "password": "secret",
        "api_key": "ph_live_1"}
    done.touch()
    print(json.dumps({"migrated": bool(first_run), "first_run": first_run}))

async def serve():
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        writer.close()
    server = await asyncio.start_server(
        answer, os.environ["POSTHOUSE_HOST"], int(os.environ["POSTHOUSE_PORT"]))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    note("http")
    await stop.wait()

def worker():
    if os.environ.get("FAKE_STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("worker")
    while True:
        signal.pause()

def main():
    verb = sys.argv[1]
    if verb == "up":
        from posthouse.operate import up
        sys.exit(up.main())
    if verb == "prepare":
        prepare()
    if verb == "serve":
        asyncio.run(serve())
    if verb == "worker":
        worker()

if __name__ == "__main__":
    main()
"""


@dataclass(slots=True)
class FakeHouse:
    """A house on one data directory, which can be brought up again and again."""

    data: Path
    package: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    def build(self) -> None:
        """Lay out a package `posthouse` in which only the commands are fake."""
        folder = self.package / "posthouse"
        folder.mkdir(parents=True)
        real = Path(posthouse.__file__).parent
        for name in ("__init__.py", "embedded", "operate", "migrations"):
            (folder / name).symlink_to(real / name)
        (folder / "__main__.py").write_text(FAKE_MAIN, encoding="utf-8")

    async def up(self, **environ: str) -> "Running":
        """Start `posthouse up`; the caller waits for what it wants to see."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "posthouse", "up"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(self.package),
                "POSTHOUSE_DATA": str(self.data),
                **self.environ,
                **environ,
            },
        )
        return Running(process, self.data)


@dataclass(slots=True)
class Running:
    """A `posthouse up` that was started."""

    process: asyncio.subprocess.Process
    data: Path

    async def line(self) -> str:
        """The next line on stdout; the first comes when the house is ready."""
        assert self.process.stdout
        async with asyncio.timeout(TIMEOUT_S):
            return (await self.process.stdout.readline()).decode()

    async def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """Signal it, wait for its end, and give the rest of stdout."""
        self.process.send_signal(number)
        return (await self.end())[0]

    async def end(self) -> tuple[str, str]:
        """Wait for its end, and give the rest of stdout and stderr."""
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await self.process.communicate()
        return out.decode(), err.decode()

    def pids(self) -> dict[str, int]:
        """The processes of the house, by name."""
        found = {name: int(_first(self.data / f"{name}.pid")) for name in ("http", "worker")}
        found["postgres"] = int(_first(self.data / "postgres" / "postmaster.pid"))
        return {name: pid for name, pid in found.items() if pid}

    def children(self) -> list[int]:
        """Every child process, whatever it is."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def _first(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0] or "0"
    except OSError:
        return "0"
