"""`posthouse up` and the command line beside it, in a directory of their own."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import posthouse

START_S = 90.0
STOP_S = 60.0
COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out)


@dataclass(slots=True)
class Installation:
    """One directory; what runs in it is ended with the test."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        programs = [str(Path(sys.executable).parent), os.defpath]
        if curl := shutil.which("curl"):
            programs.append(str(Path(curl).parent))
        self.environ = {
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": str(Path(posthouse.__file__).parent.parent),
            "POSTHOUSE_PORT": str(_free_port()),
            "POSTHOUSE_ADMIN_PORT": str(_free_port()),
        }

    @property
    def data(self) -> Path:
        return self.folder / "posthouse-data"

    async def up(self) -> str:
        """Run `posthouse up` with nothing said, and give what it prints until it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "posthouse", "up"),
            cwd=self.folder,
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        is_first = not self.data.exists()
        assert self.process.stdout
        said = ""
        async with asyncio.timeout(START_S):
            while line := (await self.process.stdout.readline()).decode():
                said += line
                if line.startswith("  curl " if is_first else "Posthouse is ready"):
                    return said
        raise AssertionError(f"it ended: {said}\n{(await self._ended())[1]}")

    async def signal(self, number: signal.Signals) -> tuple[int, str]:
        """Signal `up`, wait for its end, and give its exit code and what it said on stderr."""
        assert self.process
        self.process.send_signal(number)
        _, err = await self._ended()
        code = self.process.returncode
        self.process = None
        assert code is not None
        return code, err

    async def _ended(self) -> tuple[str, str]:
        assert self.process
        async with asyncio.timeout(STOP_S):
            out, err = await self.process.communicate()
        return out.decode(), err.decode()

    async def end(self) -> None:
        if self.process is not None:
            await self.signal(signal.SIGKILL)

    async def command(self, *words: str, **environ: str) -> Said:
        """Run `posthouse WORDS` in the same directory, told no more than `environ`."""
        return await self._run(sys.executable, "-m", "posthouse", *words, **environ)

    async def shell(self, line: str) -> Said:
        """Paste a line into a shell."""
        return await self._run("bash", "-c", line)

    async def _run(self, *argv: str, **environ: str) -> Said:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.folder,
            env={name: self.environ[name] for name in ("PATH", "PYTHONPATH")} | environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_S):
            out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    def descendants(self) -> list[int]:
        """All processes below `up`."""
        assert self.process
        found = [self.process.pid]
        for pid in found:
            path = Path(f"/proc/{pid}/task/{pid}/children")
            found += [int(child) for child in path.read_text(encoding="utf-8").split()]
        return found[1:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
