"""Leases: rows that workers claim for a while, at most one at a time, fairly between workspaces.

The table belongs to a slice and names its columns here. A claim is one short transaction that
raises the token of each row it takes and counts the attempt; the work happens outside of any
transaction; its end is an update that holds only with the same token, so a worker that lost its
lease (it was too slow, or stopped) changes nothing. Only the database's clock counts.

A row is `waiting` until it is due, `ready` until a worker claims it, `running` while its lease
lasts; `tend` moves on what is due and what lost its worker, up to `dead` once the attempts are
used up. A table may call its states otherwise (`LeaseStates`).

Fairness: a claim asks each workspace in turn for its next rows and deals them in rounds, so one
that queues a hundred thousand rows delays another by a batch, not by all of them. Where more
workspaces wait than a claim takes rows, the next claim goes on behind the last one served.

Claims of one table wait for each other: two at once would look at the same rows, and the limit
of a lane (a kind of work) could not be kept.
Source: Kleppmann, "How to do distributed locking", 2016 (fencing tokens).
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from posthouse.kernel.db import Database, Row, Tx, changed_rows
from posthouse.kernel.errors import Kind, PosthouseError

MAX_ATTEMPTS = 5
_TURNS = 64  # workspaces that one claim asks
_TENDED = 1000
_FIRST = UUID(int=0)
_NAME = re.compile(r"[a-z_]+")

# Held until the claim commits, like a lock on the table that only claims take. The wait for it is
# why a claim's times are not those of its transaction's beginning.
# The plan of a claim is made once for a connection, perhaps when nothing was ready, so it is told
# not to count on that: rows are looked up by their keys.
_LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended('claims of {table}', 0)),
  set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true)
"""
_CLAIM = """
WITH RECURSIVE lanes AS (
  SELECT name, least($4, room - (
    SELECT count(*) FROM {table} WHERE state = '{running}' AND {lane} = name AND room IS NOT NULL
  )) AS room FROM unnest($1::text[], $2::int[]) AS asked (name, room)
), turns AS (
  SELECT name, room, 1 AS turn, (
    SELECT workspace_id FROM {table} AS t
    WHERE t.state = '{ready}' AND t.{lane} = name AND t.workspace_id > $3
      AND t.workspace_id <> ALL($6::uuid[])
    ORDER BY workspace_id LIMIT 1
  ) AS workspace_id FROM lanes WHERE room > 0
  UNION ALL
  SELECT name, room, turn + 1, (
    SELECT workspace_id FROM {table} AS t
    WHERE t.state = '{ready}' AND t.{lane} = name AND t.workspace_id > turns.workspace_id
      AND t.workspace_id <> ALL($6::uuid[])
    ORDER BY workspace_id LIMIT 1
  ) FROM turns WHERE workspace_id IS NOT NULL AND turn < {turns}
), next_rows AS (
  SELECT near.id, name, room, turn,
    row_number() OVER (
      PARTITION BY name, turns.workspace_id ORDER BY priority DESC, ready_at, near.id
    ) AS round
  FROM turns CROSS JOIN LATERAL (
    SELECT id, priority, ready_at FROM {table} AS t
    WHERE t.state = '{ready}' AND t.{lane} = name AND t.workspace_id = turns.workspace_id
    ORDER BY priority DESC, ready_at, id LIMIT room
  ) AS near
), dealt AS (
  SELECT id, round, turn, room, row_number() OVER (PARTITION BY name ORDER BY round, turn) AS place
  FROM next_rows
), chosen AS (
  SELECT t.id FROM (
    SELECT id, round, turn FROM dealt WHERE place <= room ORDER BY round, turn LIMIT $4
  ) AS next CROSS JOIN LATERAL (
    -- With OFFSET 0 the state is asked of the row that was found by its key, not the other way.
    SELECT id, state FROM {table} WHERE id = next.id OFFSET 0 FOR UPDATE SKIP LOCKED
  ) AS t
  WHERE t.state = '{ready}' ORDER BY round, turn
)
UPDATE {table} AS t
SET state = '{running}', token = token + 1, attempts = attempts + 1, version = version + 1,
    started_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => $5)
FROM chosen WHERE t.id = chosen.id
RETURNING {returned}
"""
# A row that its own end is about to be written to is locked; it needs no longer lease.
_KEEP = """
UPDATE {table} SET lease_until = now() + make_interval(secs => $3) WHERE id IN (
  SELECT t.id FROM {table} AS t JOIN unnest($1::uuid[], $2::int[]) AS held (id, token)
    ON t.id = held.id AND t.token = held.token
  WHERE t.state = '{running}' FOR UPDATE OF t SKIP LOCKED
)
"""
_HELD = """
SELECT t.id FROM {table} AS t JOIN unnest($1::uuid[], $2::int[]) AS held (id, token)
  ON t.id = held.id AND t.token = held.token
WHERE t.state = '{running}'
"""
_END = """
UPDATE {table} SET state = $3, version = version + 1, lease_until = NULL
WHERE id = $1 AND token = $2 AND state = '{running}'
"""
_RETRY = """
UPDATE {table}
SET state = CASE WHEN attempts >= {attempts} THEN 'dead' ELSE '{waiting}' END,
    ready_at = now() + make_interval(secs => $3), version = version + 1, lease_until = NULL
WHERE id = $1 AND token = $2 AND state = '{running}'
RETURNING state
"""
# Until the row is a day old; after that the attempts count, and with them it ends.
_POSTPONE = """
UPDATE {table}
SET state = '{waiting}', attempts = attempts - 1, ready_at = now() + make_interval(secs => $3),
    version = version + 1, lease_until = NULL
WHERE id = $1 AND token = $2 AND state = '{running}' AND created_at > now() - interval '1 day'
RETURNING state
"""
_GIVE_BACK = """
UPDATE {table}
SET state = '{ready}', attempts = attempts - 1, version = version + 1, lease_until = NULL
FROM unnest($1::uuid[], $2::int[]) AS held (id, token)
WHERE {table}.id = held.id AND {table}.token = held.token AND state = '{running}'
"""
_PROMOTE = """
UPDATE {table} SET state = '{ready}', version = version + 1 WHERE id IN (
  SELECT id FROM {table} WHERE state IN ({all_waiting}) AND ready_at <= now()
  ORDER BY ready_at LIMIT {tended} FOR UPDATE SKIP LOCKED
)
"""
_REAP = """
UPDATE {table}
SET state = CASE WHEN attempts >= {attempts} THEN 'dead' ELSE '{ready}' END,
    version = version + 1, lease_until = NULL
WHERE id IN (
  SELECT id FROM {table} WHERE state = '{running}' AND lease_until < now()
  LIMIT {tended} FOR UPDATE SKIP LOCKED
)
RETURNING id, state
"""
_TELL = "SELECT pg_notify('{table}', '')"


class LeaseLostError(PosthouseError):
    """Another worker holds the row by now; the result of this one is thrown away."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "lease-lost"
    title: ClassVar[str] = "Another worker has taken this over"


@dataclass(frozen=True, slots=True)
class Lease:
    """One claimed row: `token` fences it, `attempt` counts from 1, `row` is all of it."""

    id: UUID
    workspace_id: UUID
    token: int
    attempt: int
    row: Row


@dataclass(frozen=True, slots=True)
class Tended:
    """What `tend` moved on: how many rows are ready now, and which are given up."""

    ready: int
    dead: list[UUID]


@dataclass(frozen=True, slots=True)
class LeaseStates:
    """What a table calls the states of its rows; of several that wait, the first is for retries."""

    waiting: tuple[str, ...] = ("waiting",)
    ready: str = "ready"
    running: str = "running"


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one table.

    The table has the columns `id, workspace_id uuid, state text, priority smallint, created_at,
    ready_at, started_at, lease_until timestamptz, token, attempts, version int` and the one that
    `lane` names, a text. The states `waiting, ready, running, dead` are ours, the final ones the
    slice's; `version` grows with every change of state. Three indexes serve it:
    `(lane, workspace_id, priority DESC, ready_at, id) WHERE state = 'ready'`,
    `(ready_at) WHERE state = 'waiting'` and `(lane) WHERE state = 'running'`. That none has
    `lease_until` keeps the heartbeats out of them. `returned` are the columns of a claimed row that
    its worker reads, beside those that a lease needs.
    """

    table: str
    lane: str
    lease_s: float = 30.0
    max_attempts: int = MAX_ATTEMPTS
    states: LeaseStates = LeaseStates()
    returned: str = "t.*"

    def __post_init__(self) -> None:
        """Refuse names that are not plain ones; they become part of statements.

        Raises:
            ValueError: a name has other characters than a-z and _.
        """
        states = self.states
        for name in (self.table, self.lane, *states.waiting, states.ready, states.running):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a table or column")

    def _sql(self, template: str) -> str:
        return template.format(
            table=self.table,
            lane=self.lane,
            attempts=self.max_attempts,
            turns=_TURNS,
            tended=_TENDED,
            waiting=self.states.waiting[0],
            all_waiting=", ".join(f"'{name}'" for name in self.states.waiting),
            ready=self.states.ready,
            running=self.states.running,
            returned=self.returned,
        )

    async def claim(
        self,
        db: Database,
        count: int,
        lanes: Mapping[str, int | None],
        *,
        after: UUID = _FIRST,
        skip: Sequence[UUID] = (),
    ) -> list[Lease]:
        """Take up to `count` ready rows of workspaces behind `after`, in turn.

        `lanes` are those that the worker serves, each with how many of its rows may run at once
        over all workers, or None for any number. Rows of the workspaces in `skip` are left.
        """
        async with db.begin() as tx:
            await tx.execute(self._sql(_LOCK))
            rows = await tx.fetch(
                self._sql(_CLAIM),
                list(lanes),
                list(lanes.values()),
                after,
                count,
                self.lease_s,
                list(skip),
            )
        return [
            Lease(row["id"], row["workspace_id"], row["token"], row["attempts"], row)
            for row in rows
        ]

    async def keep(self, db: Database, held: Sequence[Lease]) -> set[UUID]:
        """Hold leases for longer; give the ids of those that are still ours."""
        async with db.begin() as tx:
            await tx.execute(self._sql(_KEEP), *_pairs(held), self.lease_s)
            rows = await tx.fetch(self._sql(_HELD), *_pairs(held))
        return {row["id"] for row in rows}

    async def end(self, tx: Tx, lease: Lease, state: str) -> None:
        """Write the final state in the transaction that writes the result.

        Raises:
            LeaseLostError: it is another's by now; the transaction must not commit.
        """
        status = await tx.execute(self._sql(_END), lease.id, lease.token, state)
        if changed_rows(status) == 0:
            raise LeaseLostError

    async def retry(self, tx: Tx, lease: Lease, *, delay_s: float) -> bool:
        """Let a row be tried again later; False if it is dead, as its attempts are used up.

        Raises:
            LeaseLostError: it is another's by now.
        """
        state = await tx.fetchval(self._sql(_RETRY), lease.id, lease.token, delay_s)
        if state is None:
            raise LeaseLostError
        return bool(state != "dead")

    async def postpone(self, tx: Tx, lease: Lease, *, delay_s: float) -> bool:
        """Let a row wait out an outage of ours, at no attempt; False if it is older than a day."""
        state = await tx.fetchval(self._sql(_POSTPONE), lease.id, lease.token, delay_s)
        return state is not None

    async def give_back(self, db: Database, held: Sequence[Lease]) -> None:
        """Let others have rows at once, as if they had not been claimed."""
        async with db.begin() as tx:
            await tx.execute(self._sql(_GIVE_BACK), *_pairs(held))
            await self.tell(tx)

    async def tend(self, tx: Tx) -> Tended:
        """Make ready what is due and what lost its worker; give up what did so too often."""
        promoted = changed_rows(await tx.execute(self._sql(_PROMOTE)))
        reaped = await tx.fetch(self._sql(_REAP))
        dead = [row["id"] for row in reaped if row["state"] == "dead"]
        ready = promoted + len(reaped) - len(dead)
        if ready:
            await self.tell(tx)
        return Tended(ready, dead)

    async def tell(self, tx: Tx) -> None:
        """Wake the workers when the transaction commits: a hint, they look by themselves too."""
        await tx.execute(self._sql(_TELL))

    @asynccontextmanager
    async def listen(self, db: Database, wake: Any) -> AsyncGenerator[Tx]:
        """Call `wake()` whenever rows become ready, while the block runs."""

        def heard(*_: object) -> None:
            wake()

        async with db.session() as connection:
            await connection.add_listener(self.table, heard)
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(self.table, heard)


def _pairs(held: Sequence[Lease]) -> tuple[list[UUID], list[int]]:
    return [lease.id for lease in held], [lease.token for lease in held]


@dataclass(slots=True)
class Claimer:
    """Claims for one worker and remembers whose turn is next."""

    leases: Leases
    lanes: Mapping[str, int | None]
    _after: UUID = field(default=_FIRST, init=False)

    async def claim(self, db: Database, count: int, skip: Sequence[UUID] = ()) -> list[Lease]:
        """Take up to `count` ready rows, but none of the workspaces in `skip`."""
        taken = await self.leases.claim(db, count, self.lanes, after=self._after, skip=skip)
        if len(taken) < count and self._after != _FIRST:
            self._after = _FIRST
            taken += await self.leases.claim(db, count - len(taken), self.lanes, skip=skip)
        served = {lease.workspace_id for lease in taken}
        # With a row for each, more may wait behind the last one.
        self._after = max(served) if len(served) == len(taken) == count else _FIRST
        return taken
