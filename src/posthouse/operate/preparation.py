"""Run `posthouse prepare`: the schema and, on a first run, the first workspace and its key."""

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from posthouse import migrations
from posthouse.embedded import postgres, wire
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.place import POSTGRES_SOCKET, Place
from posthouse.embedded.process import Command, Process, words_for
from posthouse.operate.environment import House
from posthouse.operate.warm import Gate, make_gate

MODULES = "posthouse.operate.prepare,posthouse.cli,alembic.command,sqlalchemy.ext.asyncio"
TIMEOUT_S = 900.0  # a migration may rewrite a large table
ASK_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Preparation:
    """The process, which waits at a gate until the servers are up, and the file it answers in."""

    process: Process
    answer: BinaryIO
    gate: Gate

    async def finish(self) -> dict[str, Any] | None:
        """Let it work; give what a first run made, if this was one.

        Raises:
            EmbeddedError: it failed, or took too long.
        """
        self.gate.open()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                code = await self.process.wait()
        except TimeoutError as error:
            raise EmbeddedError(f"`posthouse prepare` took more than {TIMEOUT_S:g} s.") from error
        if code:
            raise EmbeddedError(
                f"`posthouse prepare` failed ({words_for(code)}); its own words are above."
            )
        return _first_run(self.answer)

    async def end(self) -> None:
        """Leave nothing behind, whether it finished or not."""
        self.process.kill()
        await self.process.wait()
        self.answer.close()
        self.gate.close()


def launch(place: Place, house: House) -> Preparation:
    """Start the process; it imports while the servers start."""
    gate = make_gate()
    answer = tempfile.TemporaryFile()  # noqa: SIM115 - a file without a name, closed by end()
    command = Command(
        argv=gate.argv(MODULES, "prepare", "--json"),
        env=house.environ,
        keep_fds=(place.lock.fd, gate.fd),
        stdout_fd=answer.fileno(),
    )
    return Preparation(Process(command), cast("BinaryIO", answer), gate)


async def is_needless(place: Place, house: House) -> bool:
    """Whether the embedded database has this version's schema and the first run is done."""
    if not house.has_own_postgres or not (place.root / "cli.json").exists():
        return False
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            rows = await wire.query(
                place.sockets / POSTGRES_SOCKET,
                "SELECT version_num FROM alembic_version",
                user=postgres.USER,
                database=postgres.DATABASE,
            )
    except (wire.AnswerError, OSError, EOFError, TimeoutError):
        return False
    return rows == [[migrations.head()]]


def _first_run(answer: BinaryIO) -> dict[str, Any] | None:
    answer.seek(0, os.SEEK_SET)
    text = answer.read().decode(errors="replace").strip()
    try:
        said = cast("dict[str, Any]", json.loads(text.splitlines()[-1]))
        return said["first_run"]
    except (ValueError, LookupError, TypeError) as error:
        sys.stderr.write(f"{text}\n")
        raise EmbeddedError(
            "`posthouse prepare --json` did not answer in JSON; its words are above."
        ) from error
