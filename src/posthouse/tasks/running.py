"""One run of a task, as its handler sees it: progress, cancellation, the one effect at its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Database
from posthouse.kernel.leases import Lease, Leases
from posthouse.kernel.sandbox import Sandbox
from posthouse.kernel.work import Ending, Result, WorkStoppedError
from posthouse.tasks.errors import ResultInvalidError
from posthouse.tasks.model import Progress
from posthouse.tasks.store import tasks as store

_MAX_RESULT = 1_048_576
_MAX_MESSAGE = 500


class Stop(Enum):
    """Why a run is ended from outside."""

    CANCELLED = "cancelled"
    LOST = "lost"
    GIVEN_BACK = "given back"


@dataclass(slots=True)
class Running:
    """A claimed task while it runs; it is the `Work` that its handler is handed.

    `scope` is the time that it has: to end the run, it is moved to now.
    """

    db: Database
    leases: Leases
    lease: Lease
    sandbox: Sandbox
    scope: asyncio.Timeout
    state: Progress = field(default_factory=Progress)
    is_cancelled: bool = False
    stop: Stop | None = None
    has_ended: bool = False
    told: Progress = field(default_factory=Progress)

    @property
    def id(self) -> UUID:
        """The id of the task."""
        return self.lease.id

    @property
    def principal(self) -> Principal:
        """Who asked for it."""
        row = self.lease.row
        return Principal(row["workspace_id"], row["created_by"], Role(row["role"]))

    @property
    def attempt(self) -> int:
        """Which run this is, from 1."""
        return self.lease.attempt

    async def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Tell how far it is; the worker writes it with its next look.

        Raises:
            WorkStoppedError: it was cancelled.
        """
        self.state = Progress(done, total, message[:_MAX_MESSAGE].replace("\x00", ""))
        if self.is_cancelled:
            raise WorkStoppedError

    @asynccontextmanager
    async def finishing(self) -> AsyncGenerator[Ending]:
        """Open the transaction that completes the task.

        Its row is changed last, so it stays free for heartbeats however long the block takes.

        Raises:
            LeaseLostError: another worker runs it by now; nothing was changed.
            WorkStoppedError: it was cancelled; nothing was changed.
            ResultInvalidError: the result is not JSON.
        """
        async with self.db.begin() as tx:
            ending = Ending(tx)
            yield ending
            kept = storable(ending.result)
            if await store.note_end(tx, self.id, self.state, result=kept):
                raise WorkStoppedError
            await self.leases.end(tx, self.lease, "completed")
        self.has_ended = True

    def end(self, why: Stop) -> None:
        """End the run from outside: whatever it awaits now is cancelled."""
        if self.stop is None:
            self.stop = why
            with suppress(RuntimeError):  # it has not begun, or has just ended
                self.scope.reschedule(asyncio.get_running_loop().time())


def storable(result: Result) -> Result:
    """Give a result back if it can be kept and shown.

    Raises:
        ResultInvalidError: it is not JSON, or larger than a MiB.
    """
    try:
        size = to_json(dict(result))
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise ResultInvalidError("It is not a JSON object.") from error
    if len(size) > _MAX_RESULT or b"\\u0000" in size:
        raise ResultInvalidError("It is larger than a MiB, or holds a NUL character.")
    return result
