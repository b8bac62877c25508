"""Events: what happened, told upwards without knowing who listens.

`announce` writes one outbox row in the caller's transaction. The relay turns rows into one job
per listener, in one transaction, so an event is neither lost nor told of a change that was
rolled back. A listener may run twice, and no order is promised.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from posthouse.kernel.db import Database, Tx
from posthouse.kernel.jobs import JobKind, JobQueue, Payload

_INSERT = """
INSERT INTO outbox (workspace_id, name, version, payload)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::jsonb[])
"""
_TAKE = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox ORDER BY id FOR UPDATE SKIP LOCKED LIMIT $1
) RETURNING id, workspace_id, name, version, payload
"""


@dataclass(frozen=True, slots=True)
class Event:
    """The parent of all events; a subclass is a frozen dataclass of JSON values and UUIDs."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    workspace_id: UUID


Announced = Callable[[Payload], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listener:
    """Runs `handler` with the event's fields for each event of that name."""

    event: str
    name: str
    handler: Announced

    def job_kind(self) -> JobKind:
        """The kind of job that this listener runs as."""
        return JobKind(self.name, self.handler)


async def announce(tx: Tx, *told: Event) -> None:
    """Tell of events if and only if the caller's transaction commits."""
    await tx.execute(
        _INSERT,
        [event.workspace_id for event in told],
        [event.name for event in told],
        [event.version for event in told],
        [_payload(event) for event in told],
    )


def _payload(event: Event) -> dict[str, Any]:
    return {spec.name: getattr(event, spec.name) for spec in dataclasses.fields(event)}


@dataclass(frozen=True, slots=True)
class Relay:
    """Moves announced events into the jobs of those who listen."""

    db: Database
    jobs: JobQueue
    listeners: Sequence[Listener]
    batch: int = 200

    async def relay_once(self) -> int:
        """Relay one batch; give how many events it held. May be repeated and run in parallel."""
        async with self.db.begin() as tx:
            rows = await tx.fetch(_TAKE, self.batch)
            for listener in self.listeners:
                heard = [row for row in rows if row["name"] == listener.event]
                await self.jobs.enqueue(
                    tx,
                    listener.name,
                    [row["payload"] for row in heard],
                    dedupe_keys=[f"{listener.name}:{row['id']}" for row in heard],
                )
        return len(rows)
