"""Runs tasks in a worker: claims what is ready, keeps the leases, writes how each one ended."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from posthouse.kernel.blobs import StorageUnavailableError
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import InternalError, PosthouseError
from posthouse.kernel.jobs import backoff_s
from posthouse.kernel.leases import Claimer, Lease, LeaseLostError, Leases
from posthouse.kernel.problems import input_error, problem_of
from posthouse.kernel.sandbox import Sandbox
from posthouse.kernel.work import WorkKind, WorkKinds, WorkStoppedError
from posthouse.tasks.endings import tell_end
from posthouse.tasks.errors import (
    ResultInvalidError,
    TaskDeadlineError,
    TaskTimeoutError,
    WorkerLostError,
)
from posthouse.tasks.model import TASK, TaskId
from posthouse.tasks.running import Running, Stop, storable
from posthouse.tasks.schedules import Schedules
from posthouse.tasks.settings import TasksSettings
from posthouse.tasks.store import tasks as store

log = logging.getLogger("posthouse.tasks")

_LOOK_S = 1.0
_KEEP_S = 0.5
_TEND_S = 0.25
_DRAIN_S = 15.0
_AWAY_S = 0.5
_OUTAGE_S, _OUTAGE_STEP = 15.0, 4


@dataclass(slots=True)
class Runner:
    """The tasks that run in this worker."""

    db: Database
    clock: Clock
    kinds: WorkKinds
    leases: Leases
    schedules: Schedules
    sandbox: Sandbox
    settings: TasksSettings
    ended: int = 0
    _running: dict[UUID, Running] = field(default_factory=dict[UUID, Running], init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _is_stopping: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Claim and run tasks until cancelled."""
        lanes = {name: kind.at_once for name, kind in self.kinds.by_name.items()}
        claimer = Claimer(self.leases, lanes)
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                claimed = await self._claim(claimer)
                if claimed:
                    self._idle.clear()
                for lease in claimed:
                    running = self._running[lease.id] = Running(
                        self.db, self.leases, lease, self.sandbox, asyncio.timeout(None)
                    )
                    group.create_task(self._run(running))
                if not claimed:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await self._woken.wait()

    async def _claim(self, claimer: Claimer) -> list[Lease]:
        free = self.settings.at_once - len(self._running)
        if free <= 0 or self._is_stopping or not claimer.lanes:
            return []
        try:
            return await claimer.claim(self.db, free)
        except PosthouseError:
            await asyncio.sleep(_AWAY_S)  # what runs goes on while Postgres is away
            return []

    async def listen(self) -> None:
        """Hear at once of tasks that are ready; the loop of `run` looks by itself too."""
        async with self.leases.listen(self.db, self._woken.set) as connection:
            while True:
                await asyncio.sleep(_LOOK_S)
                await connection.execute("SELECT 1")  # ends this loop when the line is dead

    async def tend(self) -> None:
        """Make ready what is due, make the tasks of schedules, give up what lost its workers."""
        while True:
            async with self.db.begin() as tx:
                tended = await self.leases.tend(tx)
                if tended.dead:
                    await store.note_lost(tx, tended.dead, _problem(WorkerLostError()))
                    await self._mourn(tx, tended.dead)
            await self.schedules.promote()
            await asyncio.sleep(_TEND_S)

    async def keep(self) -> None:
        """Hold the leases of what runs, write its progress, end what was cancelled or lost."""
        clock = asyncio.get_running_loop().time
        kept_at = clock()
        while True:
            await asyncio.sleep(min(_KEEP_S, self.leases.lease_s / 4))
            held = list(self._running.values())
            if not held:
                continue
            await self._look_after(held)
            if clock() - kept_at > self.leases.lease_s / 3:
                kept_at = clock()
                kept = await self.leases.keep(self.db, [one.lease for one in held])
                for one in held:
                    if one.id not in kept and one.id in self._running:
                        one.end(Stop.LOST)

    async def _look_after(self, held: list[Running]) -> None:
        changed = [(one, one.state) for one in held if one.state != one.told]
        async with self.db.begin() as tx:
            cancelled = await store.cancelled(tx, [one.id for one in held])
            if changed:
                told = [(one.id, one.lease.token, state) for one, state in changed]
                await store.note_progress(tx, told)
        for one, state in changed:
            one.told = state
        for one in held:
            one.is_cancelled = one.is_cancelled or one.id in cancelled
            if cancelled.get(one.id):
                one.end(Stop.CANCELLED)

    async def drain(self) -> None:
        """Claim no more; let what runs end, and give back what does not end in time."""
        self._is_stopping = True
        if not self._running:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._idle.wait()
        left = list(self._running.values())
        await self.leases.give_back(self.db, [one.lease for one in left])
        for one in left:
            one.end(Stop.GIVEN_BACK)

    async def _run(self, running: Running) -> None:
        try:
            await self._attempt(running)
        except LeaseLostError:
            log.info("lease lost", extra={"task": TASK.show(running.id)})
        except Exception as error:  # noqa: BLE001  the worker's loop; the lease will run out
            reason = type(error).__name__
            log.warning("no end written", extra={"task": TASK.show(running.id), "reason": reason})
        finally:
            del self._running[running.id]
            self.ended += 1
            self._woken.set()
            if not self._running:
                self._idle.set()

    async def _attempt(self, running: Running) -> None:
        row = running.lease.row
        kind = self.kinds.by_name[row["kind"]]
        if row["cancel_by"] is not None:
            await self._end(running, "cancelled")
            return
        left_s = self._time_left_s(kind, row["deadline_at"])
        if left_s <= 0:
            await self._end(running, "failed", TaskDeadlineError())
            return
        try:
            async with running.scope:
                running.scope.reschedule(asyncio.get_running_loop().time() + left_s)
                result = await kind.run(kind.takes.model_validate(row["input"]), running)
        except WorkStoppedError:
            await self._end(running, "cancelled")
        except TimeoutError as error:
            await self._overdue(running, error)
        except ValidationError as error:
            await self._end(running, "failed", input_error(error.errors()))
        except PosthouseError as error:
            await self._fail(running, error)
        except Exception as error:
            log.exception("task failed", extra={"task": TASK.show(running.id)})
            await self._fail(running, error)
        else:
            await self._complete(running, result or {})

    def _time_left_s(self, kind: WorkKind, deadline_at: datetime | None) -> float:
        if deadline_at is None:
            return kind.timeout_s
        left = deadline_at - self.clock.now().astimezone(UTC)
        return min(kind.timeout_s, left.total_seconds())

    async def _overdue(self, running: Running, error: TimeoutError) -> None:
        """Write the end of a run whose time was over, or that was ended from outside."""
        if not running.scope.expired():
            await self._fail(running, error)  # a time-out of its own, which it did not catch
        elif running.stop is Stop.CANCELLED:
            await self._end(running, "cancelled")
        elif running.stop is None:
            deadline = running.lease.row["deadline_at"]
            is_past = deadline is not None and deadline <= self.clock.now()
            await self._end(
                running, "failed", TaskDeadlineError() if is_past else TaskTimeoutError()
            )

    async def _complete(self, running: Running, result: Mapping[str, Any]) -> None:
        if running.has_ended:
            return
        try:
            kept = storable(result)
        except ResultInvalidError as error:
            await self._end(running, "failed", error)
            return
        async with self.db.begin() as tx:
            await store.note_end(tx, running.id, running.state, result=kept)
            await self.leases.end(tx, running.lease, "completed")

    async def _end(self, running: Running, state: str, error: PosthouseError | None = None) -> None:
        async with self.db.begin() as tx:
            told = None if error is None else _problem(error)
            await store.note_end(tx, running.id, running.state, error=told)
            await self.leases.end(tx, running.lease, state)
            await self._mourn(tx, [running.id])

    async def _mourn(self, tx: Tx, ids: Sequence[UUID]) -> None:
        for task in (await store.watched(tx, [TaskId(one) for one in ids])).values():
            await tell_end(tx, self.kinds, task)

    async def _fail(self, running: Running, error: Exception) -> None:
        """Try again later what may succeed then, and end what cannot."""
        ours = error if isinstance(error, PosthouseError) else InternalError()
        if isinstance(ours, LeaseLostError):
            raise ours
        if isinstance(error, PosthouseError) and not error.is_retryable:
            await self._end(running, "failed", error)
            return
        delay_s = backoff_s(running.attempt)
        async with self.db.begin() as tx:
            is_outage = isinstance(ours, StorageUnavailableError)
            if is_outage and await self.leases.postpone(
                tx, running.lease, delay_s=backoff_s(_OUTAGE_STEP, last_s=_OUTAGE_S)
            ):
                is_alive = True
            else:
                is_alive = await self.leases.retry(tx, running.lease, delay_s=delay_s)
            await store.note_error(tx, running.id, _problem(ours))
            if not is_alive:
                await self._mourn(tx, [running.id])


def _problem(error: PosthouseError) -> dict[str, Any]:
    return problem_of(error, "-").model_dump(exclude={"request_id"})
