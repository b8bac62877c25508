"""Both servers on one data directory, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from posthouse.embedded import postgres, valkey
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.place import Place, open_place
from posthouse.embedded.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the two servers answer, and the processes behind them."""

    database_url: str
    valkey_url: str
    supervisor: Supervisor

    @property
    def postgres_pid(self) -> int:
        """The postmaster now; another one after a crash."""
        return self.supervisor.pid(postgres.NAME)

    @property
    def valkey_pid(self) -> int:
        """The Valkey process now; another one after a crash."""
        return self.supervisor.pid(valkey.NAME)


@asynccontextmanager
async def embedded_servers(
    data_dir: Path, postgres_bin: Path | None = None, *, durable: bool = True
) -> AsyncGenerator[Endpoints]:
    """Run Postgres and Valkey on `data_dir` until the end of the block, restarted if they die.

    Without `durable` nothing is forced to disk: faster, and for tests only.

    Raises:
        EmbeddedError: another posthouse runs there, or a server is missing or does not start.
    """
    supervisor = Supervisor()
    async with open_place(data_dir) as place:
        try:
            yield await start_servers(supervisor, place, postgres_bin=postgres_bin, durable=durable)
        finally:
            await supervisor.stop()


async def start_servers(
    supervisor: Supervisor, place: Place, *, postgres_bin: Path | None = None, durable: bool = True
) -> Endpoints:
    """Start both servers side by side in a place that is already locked.

    Raises:
        EmbeddedError: a server is missing or does not start.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            store = tasks.create_task(
                postgres.start_postgres(supervisor, place, bin_dir=postgres_bin, durable=durable)
            )
            cache = tasks.create_task(valkey.start_valkey(supervisor, place, durable=durable))
    except ExceptionGroup as group:
        failures, others = group.split(EmbeddedError)
        if failures is None or others:
            raise
        words = "\n".join(str(each) for each in failures.exceptions)
        raise EmbeddedError(words) from failures
    return Endpoints(store.result(), cache.result(), supervisor)
