"""Leases: rows that workers claim for a while, at most one at a time, fairly between workspaces.

The table belongs to a slice and names its columns here. A claim is one short transaction that
takes ready rows with SKIP LOCKED, raises their token by one and counts the attempt; the work
happens outside of any transaction; its end is an update that holds only with the same token, so
a worker that lost its lease (it was too slow, or stopped) changes nothing. A row whose lease has
run out is ready again, or dead once its attempts are used up. Only the database's clock counts.

Fairness: the claim deals rows in rounds, each workspace's first, then each one's second, so one
that queues a hundred thousand rows delays another by a batch, not by all of them.
Source: Kleppmann, "How to do distributed locking", 2016 (fencing tokens).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from posthouse.kernel.db import Database, Tx, changed_rows
from posthouse.kernel.errors import Kind, PosthouseError

MAX_ATTEMPTS = 5
_NAME = re.compile(r"[a-z_]+")

_CLAIM = """
WITH candidates AS (
  SELECT id, row_number() OVER (PARTITION BY workspace_id ORDER BY ready_at, id) AS round
  FROM (
    SELECT id, workspace_id, ready_at FROM {table}
    WHERE state = 'ready' AND ready_at <= now()
      OR state = 'running' AND lease_until < now() AND attempts < {attempts}
    ORDER BY ready_at, id LIMIT {scan}
  ) AS near
), dealt AS (
  SELECT t.id FROM {table} AS t JOIN candidates AS c USING (id)
  WHERE t.state = 'ready' AND t.ready_at <= now() OR t.state = 'running' AND t.lease_until < now()
  ORDER BY c.round, t.ready_at, t.id
  LIMIT $1 FOR UPDATE OF t SKIP LOCKED
)
UPDATE {table} AS t
SET state = 'running', token = token + 1, attempts = attempts + 1,
    lease_until = now() + make_interval(secs => $2)
FROM dealt WHERE t.id = dealt.id
RETURNING t.id, t.workspace_id, t.token, t.attempts
"""
_KEEP = """
UPDATE {table} SET lease_until = now() + make_interval(secs => $3)
WHERE id = $1 AND token = $2 AND state = 'running'
"""
_END = """
UPDATE {table} SET state = $3, lease_until = NULL
WHERE id = $1 AND token = $2 AND state = 'running'
"""
_RETRY = """
UPDATE {table}
SET state = CASE WHEN attempts >= {attempts} THEN 'dead' ELSE 'ready' END,
    ready_at = now() + make_interval(secs => $3), lease_until = NULL
WHERE id = $1 AND token = $2 AND state = 'running'
"""
_REAP = """
UPDATE {table} SET state = 'dead', lease_until = NULL
WHERE state = 'running' AND lease_until < now() AND attempts >= {attempts}
"""


class LeaseLostError(PosthouseError):
    """Another worker holds the row by now; the result of this one is thrown away."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "lease-lost"
    title: ClassVar[str] = "Another worker has taken this over"


@dataclass(frozen=True, slots=True)
class Lease:
    """One claimed row: `token` fences it, `attempt` counts from 1."""

    id: UUID
    workspace_id: UUID
    token: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one table.

    The table has the columns `id uuid, workspace_id uuid, state text, ready_at, lease_until
    timestamptz, token, attempts int`; the states `ready, running, dead` are ours, the final ones
    the slice's. An index on `(ready_at, id) WHERE state IN ('ready', 'running')` serves the claim.
    """

    table: str
    lease_s: float = 30.0
    max_attempts: int = MAX_ATTEMPTS
    scan: int = 1000

    def __post_init__(self) -> None:
        """Refuse a table name that is not a plain one; it becomes part of statements.

        Raises:
            ValueError: the name has other characters than a-z and _.
        """
        if not _NAME.fullmatch(self.table):
            raise ValueError(f"{self.table!r} is not the name of a table")

    def _sql(self, template: str) -> str:
        return template.format(table=self.table, attempts=self.max_attempts, scan=self.scan)

    async def claim(self, db: Database, count: int) -> Sequence[Lease]:
        """Take up to `count` rows that are ready, or whose worker was lost."""
        async with db.begin() as tx:
            rows = await tx.fetch(self._sql(_CLAIM), count, self.lease_s)
        return [
            Lease(row["id"], row["workspace_id"], row["token"], row["attempts"]) for row in rows
        ]

    async def keep(self, db: Database, lease: Lease) -> None:
        """Hold a lease for longer.

        Raises:
            LeaseLostError: it is another's by now; stop.
        """
        async with db.begin() as tx:
            await self._fenced(tx, _KEEP, lease, self.lease_s)

    async def end(self, tx: Tx, lease: Lease, state: str) -> None:
        """Write the final state in the transaction that writes the result.

        Raises:
            LeaseLostError: it is another's by now; the transaction must not commit.
        """
        await self._fenced(tx, _END, lease, state)

    async def retry(self, tx: Tx, lease: Lease, *, delay_s: float) -> None:
        """Give a row back to be tried again, or up for dead if its attempts are used up.

        Raises:
            LeaseLostError: it is another's by now.
        """
        await self._fenced(tx, _RETRY, lease, delay_s)

    async def reap(self, db: Database) -> int:
        """Give up rows that lost their last worker; how many there were."""
        async with db.begin() as tx:
            return changed_rows(await tx.execute(self._sql(_REAP)))

    async def _fenced(self, tx: Tx, template: str, lease: Lease, value: Any) -> None:
        status = await tx.execute(self._sql(template), lease.id, lease.token, value)
        if changed_rows(status) == 0:
            raise LeaseLostError
