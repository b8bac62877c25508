"""Whatever callers and workers do, in whatever order, a task's story stays a possible one (P12).

The machine calls the HTTP API and plays the workers itself, so that it decides who is slow, who
dies, and whose lease runs out. Beside it runs a model of what must be the case.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from posthouse.app import create_app
from posthouse.kernel.leases import Lease, LeaseLostError, Leases
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.work import WorkKind, WorkStoppedError
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.slices import SLICES
from posthouse.tasks.model import TASK
from posthouse.tasks.running import Running
from tests.conftest import client_of
from tests.make import Maker
from tests.tasks.probe import USE, Nothing, ignore_cancelling

T = TypeVar("T")
KIND = "machine.step"
LEASES = Leases("tasks", "kind")
MAX_ATTEMPTS = 5


async def build(parts: Parts, doors: Doors) -> Built:
    return Built(work=[WorkKind(KIND, Nothing, ignore_cancelling, "For the machine.", needs=USE)])


@dataclass(slots=True)
class World:
    """What all runs of the machine share: a loop, a runtime without workers."""

    loop: asyncio.AbstractEventLoop
    runtime: Runtime

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


@dataclass(slots=True)
class Expected:
    """What must be the case with a task."""

    status: str = "pending"
    is_due: bool = True
    attempts: int = 0
    token: int = 0
    is_cancelled: bool = False
    version: int = 0


class Machine(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.do = world.do
        self.db = world.runtime.parts.db
        self.world = world
        self.tasks: dict[str, Expected] = {}
        self.leases: list[Lease] = []
        key = self.do(Maker(world.runtime).key())
        self.api: httpx.AsyncClient = client_of(create_app(world.runtime), key)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.do(self.api.post(f"/api/v1/tasks{path}", json=body))

    def pick(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.tasks))) if self.tasks else None

    def pick_lease(self, data: st.DataObject) -> Lease | None:
        number = data.draw(st.integers(0, max(0, len(self.leases) - 1)))
        return self.leases[number] if self.leases else None

    def holds(self, lease: Lease) -> bool:
        task = self.tasks[TASK.show(lease.id)]
        return task.status == "running" and task.token == lease.token

    @rule()
    def ask(self) -> None:
        answer = self.post("", {"kind": KIND, "input": {}})
        assert answer.status_code == 202
        self.tasks[answer.json()["task_id"]] = Expected()

    @rule(count=st.integers(1, 3))
    def claim(self, count: int) -> None:
        ready = {name for name, one in self.tasks.items() if one.status == "pending" and one.is_due}
        claimed = self.do(LEASES.claim(self.db, count, {KIND: None}))
        assert len(claimed) == min(count, len(ready))
        for lease in claimed:
            task = self.tasks[TASK.show(lease.id)]
            assert TASK.show(lease.id) in ready
            task.status, task.attempts, task.token = "running", task.attempts + 1, task.token + 1
            assert (lease.attempt, lease.token) == (task.attempts, task.token)
        self.leases += claimed

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        lease = self.pick_lease(data)
        if lease is None:
            return
        task = self.tasks[TASK.show(lease.id)]
        sandbox = self.world.runtime.parts.sandbox

        async def finish() -> None:
            running = Running(self.db, LEASES, lease, sandbox, asyncio.timeout(None))
            async with running.finishing() as ending:
                ending.result = {"token": lease.token}

        if not self.holds(lease):
            # One that was cancelled too may hear of that first; it changes nothing either way.
            with pytest.raises((LeaseLostError, WorkStoppedError)):
                self.do(finish())
        elif task.is_cancelled:
            with pytest.raises(WorkStoppedError):
                self.do(finish())
        else:
            self.do(finish())
            task.status = "completed"

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        lease = self.pick_lease(data)
        if lease is None:
            return

        async def give_up() -> None:
            async with self.db.begin() as tx:
                await LEASES.retry(tx, lease, delay_s=3600)

        if not self.holds(lease):
            with pytest.raises(LeaseLostError):
                self.do(give_up())
            return
        self.do(give_up())
        task = self.tasks[TASK.show(lease.id)]
        task.status = "failed" if task.attempts >= MAX_ATTEMPTS else "pending"
        task.is_due = False

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The worker of a lease is gone, and its time passes."""
        lease = self.pick_lease(data)
        if lease is None or not self.holds(lease):
            return

        async def pass_time() -> None:
            async with self.db.begin() as tx:
                await tx.execute(
                    "UPDATE tasks SET lease_until = now() - interval '1 s' WHERE id = $1", lease.id
                )
                await LEASES.tend(tx)

        self.do(pass_time())
        task = self.tasks[TASK.show(lease.id)]
        task.status = "failed" if task.attempts >= MAX_ATTEMPTS else "pending"
        task.is_due = True

    @rule()
    def wait(self) -> None:
        """Time passes for those that wait to be tried again."""

        async def pass_time() -> None:
            async with self.db.begin() as tx:
                await tx.execute(
                    "UPDATE tasks SET ready_at = now() WHERE state = 'waiting' AND kind = $1", KIND
                )
                await LEASES.tend(tx)

        self.do(pass_time())
        for task in self.tasks.values():
            task.is_due = True

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = self.pick(data)
        if task_id is None:
            return
        task = self.tasks[task_id]
        answer = self.post(f"/{task_id}/cancel")
        ended = task.status in {"completed", "failed"}
        assert answer.status_code == (409 if ended else 200)
        if task.status == "pending":
            task.status = "cancelled"
        elif task.status == "running":
            task.is_cancelled = True

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        task_id = self.pick(data)
        if task_id is None:
            return
        task = self.tasks[task_id]
        answer = self.post(f"/{task_id}/retry")
        may = task.status in {"failed", "cancelled"}
        assert answer.status_code == (200 if may else 409)
        if may:
            task.status, task.attempts, task.is_due = "pending", 0, True
            task.is_cancelled = False

    @invariant()
    def the_api_says_what_is_the_case(self) -> None:
        answer = self.do(self.api.get("/api/v1/tasks", params={"limit": 100}))
        shown = {one["id"]: one for one in answer.json()["items"]}
        assert set(shown) == set(self.tasks)
        for task_id, task in self.tasks.items():
            one = shown[task_id]
            assert (one["status"], one["attempts"]) == (task.status, task.attempts), one
            assert one["version"] >= task.version
            assert (one["result"] is not None) == (task.status == "completed")
            task.version = one["version"]

    def teardown(self) -> None:
        async def clean() -> None:
            async with self.db.begin() as tx:
                await tx.execute("DELETE FROM tasks WHERE kind = $1", KIND)
            await self.api.aclose()

        self.do(clean())


def test_every_story_is_a_possible_one(settings: Settings) -> None:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    slices = (*SLICES, Slice(name="tasks", build=build))
    runtime = loop.run_until_complete(
        stack.enter_async_context(open_runtime(settings, slices=slices))
    )
    try:
        run_state_machine_as_test(
            cast("type[Machine]", lambda: Machine(World(loop, runtime))), settings=STORIES
        )
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


STORIES = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
