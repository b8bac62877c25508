"""A task is accepted at once, run by a worker, and tells how it went."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from posthouse.kernel.errors import NotFoundError
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.slices import SLICES
from posthouse.tasks.model import TASK
from tests.conftest import client_of
from tests.make import Maker
from tests.tasks.asking import ask, look, until
from tests.tasks.probe import KINDS, PROBE


async def test_a_task_is_accepted_run_and_shown(api: httpx.AsyncClient) -> None:
    accepted = await api.post("/api/v1/tasks", json={"kind": "probe.count", "input": {"to": 3}})
    assert accepted.status_code == 202
    assert set(accepted.json()) == {"task_id", "status"}
    assert accepted.json()["status"] == "pending"
    assert accepted.headers["Location"] == f"/api/v1/tasks/{accepted.json()['task_id']}"
    task = await until(api, accepted.json()["task_id"])
    assert task["status"] == "completed"
    assert task["result"] == {"counted": 3}
    assert task["error"] is None
    assert task["attempts"] == 1
    assert task["progress"] == {"done": 3, "total": 3, "message": "there"}
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"kind": "no.such"}, "body.kind", "unknown-kind"),
        ({"kind": "probe.inner"}, "body.kind", "unknown-kind"),
        ({"kind": "probe.count"}, "body.input.to", "missing"),
        ({"kind": "probe.count", "input": {"to": 0}}, "body.input.to", "out-of-range"),
        ({"kind": "probe.count", "input": {"to": 1, "x": 1}}, "body.input.x", "unknown-field"),
        ({"kind": "probe.count", "input": []}, "body.input", "dict-type"),
        ({"kind": "probe.say", "input": {"words": "a\x00b"}}, "body.input", "invalid-character"),
        ({"kind": "probe.count", "input": {"to": 1}, "run_at": "soon"}, "body.run_at", None),
        ({"kind": "probe.count", "input": {"to": 1}, "priority": "top"}, "body.priority", None),
        ({"kind": "x" * 101}, "body.kind", "too-long"),
        ({}, "body.kind", "missing"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_field(
    api: httpx.AsyncClient, body: dict[str, Any], field: str, code: str | None
) -> None:
    answer = await api.post("/api/v1/tasks", json=body)
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["errors"]
    assert problem["field"] == field
    if code:
        assert problem["code"] == code
    assert (await api.get("/api/v1/tasks")).json()["items"] == []


async def test_a_kind_for_owners_is_not_for_members(probed: Runtime, maker: Maker) -> None:
    from posthouse.app import create_app
    from posthouse.kernel.auth import Role

    async with client_of(create_app(probed), await maker.key(role=Role.MEMBER)) as member:
        answer = await member.post("/api/v1/tasks", json={"kind": "probe.owners", "input": {}})
    assert answer.status_code == 403


async def test_a_failure_that_may_pass_is_tried_again(api: httpx.AsyncClient) -> None:
    task = await until(api, await ask(api, "probe.fail", {"until": 1, "how": "away"}))
    assert task["status"] == "completed"
    assert task["result"] == {"attempts": 2}
    assert task["error"] is None


async def test_a_refusal_is_final_and_says_why(api: httpx.AsyncClient) -> None:
    task = await until(api, await ask(api, "probe.fail", {"until": 9, "how": "refused"}))
    assert task["status"] == "failed"
    assert task["attempts"] == 1
    assert task["error"]["code"] == "invalid-input"
    assert task["error"]["errors"][0]["field"] == "row.3"


async def test_an_unexpected_error_shows_no_internals(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.fail", {"until": 1})
    async with asyncio.timeout(10):
        while not (await look(api, task_id))["error"]:
            await asyncio.sleep(0.005)
            if (await look(api, task_id))["status"] == "completed":
                break
    assert "hunter2" not in str(await until(api, task_id))


async def test_attempts_end_in_a_dead_letter_that_can_be_replayed(
    api: httpx.AsyncClient, probed: Runtime
) -> None:
    task_id = await ask(api, "probe.fail", {"until": 5, "how": "away"})
    async with asyncio.timeout(30):
        while (task := await look(api, task_id))["status"] != "failed":
            async with probed.parts.db.begin() as tx:
                await tx.execute("UPDATE tasks SET ready_at = now() WHERE state = 'waiting'")
            await asyncio.sleep(0.05)
    assert task["attempts"] == 5
    assert task["error"]["code"] == "unavailable"
    assert task["finished_at"] is not None
    failed = (await api.get("/api/v1/tasks", params={"status": "failed"})).json()["items"]
    assert [one["id"] for one in failed] == [task_id]
    again = await api.post(f"/api/v1/tasks/{task_id}/retry")
    assert again.status_code == 200
    assert again.json()["status"] == "pending"
    assert again.json()["error"] is None


async def test_a_run_has_a_time_limit(api: httpx.AsyncClient) -> None:
    task = await until(api, await ask(api, "probe.slow"))
    assert (task["status"], task["error"]["code"]) == ("failed", "task-timeout")


async def test_a_deadline_that_has_passed_ends_a_task(api: httpx.AsyncClient) -> None:
    past = await ask(api, "probe.count", {"to": 1}, deadline_at="2020-01-01T00:00:00Z")
    task = await until(api, past)
    assert (task["status"], task["error"]["code"]) == ("failed", "task-deadline-passed")


@pytest.mark.parametrize("what", ["nul", "object", "long"])
async def test_a_result_that_cannot_be_shown_is_a_failure(
    api: httpx.AsyncClient, what: str
) -> None:
    task = await until(api, await ask(api, "probe.give", {"words": what}))
    assert (task["status"], task["error"]["code"]) == ("failed", "task-result-invalid")
    assert task["result"] is None


async def test_heavy_work_runs_in_a_child(api: httpx.AsyncClient) -> None:
    task = await until(api, await ask(api, "probe.compute", {"words": "21"}))
    assert task["result"] == {"doubled": 42}


async def test_a_task_runs_not_before_its_time(api: httpx.AsyncClient) -> None:
    later = await ask(api, "probe.count", {"to": 1}, run_at="2999-01-01T00:00:00Z")
    now = await ask(api, "probe.count", {"to": 1})
    assert (await until(api, now))["status"] == "completed"
    task = await look(api, later)
    assert task["status"] == "pending"
    assert task["run_at"] == "2999-01-01T00:00:00Z"


async def test_one_at_a_time_means_one_at_a_time(api: httpx.AsyncClient) -> None:
    ids = [await ask(api, "probe.alone", {"to": 2, "pause_s": 0.05}) for _ in range(3)]
    tasks = sorted([await until(api, one) for one in ids], key=lambda one: one["started_at"])
    for earlier, later in itertools.pairwise(tasks):
        assert earlier["finished_at"] <= later["started_at"]


async def test_nobody_sees_a_foreign_task(
    api: httpx.AsyncClient, probed: Runtime, maker: Maker
) -> None:
    from posthouse.app import create_app

    task_id = await ask(api, "probe.count", {"to": 1})
    async with client_of(create_app(probed), await maker.key()) as other:
        for method, path in (
            ("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"),
        ):  # fmt: skip
            answer = await other.request(method, f"/api/v1/tasks/{task_id}{path}")
            assert answer.status_code == 404, path
        assert (await other.get("/api/v1/tasks")).json()["items"] == []


async def test_the_list_can_be_narrowed(api: httpx.AsyncClient) -> None:
    await until(api, await ask(api, "probe.count", {"to": 1}))
    later = await ask(api, "probe.fail", run_at="2999-01-01T00:00:00Z")
    for query, expected in (
        ({"kind": "probe.fail"}, [later]),
        ({"status": "pending"}, [later]),
        ({"status": "running"}, []),
    ):
        items = (await api.get("/api/v1/tasks", params=query)).json()["items"]
        assert [one["id"] for one in items] == expected, query


async def test_the_same_request_twice_is_one_task(api: httpx.AsyncClient) -> None:
    body = {"kind": "probe.count", "input": {"to": 1}}
    headers = {"Idempotency-Key": "once"}
    answers = [await api.post("/api/v1/tasks", json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len((await api.get("/api/v1/tasks")).json()["items"]) == 1


async def test_kinds_say_what_they_take(api: httpx.AsyncClient) -> None:
    kinds = {one["name"]: one for one in (await api.get("/api/v1/tasks/kinds")).json()["kinds"]}
    assert "probe.inner" not in kinds
    assert kinds["probe.count"]["input_schema"]["properties"]["to"]["minimum"] == 1


async def test_two_kinds_of_one_name_refuse_to_start(settings: Settings) -> None:
    async def build(parts: Parts, doors: Doors) -> Built:
        return Built(work=KINDS[:1])

    twice = (*SLICES, PROBE, Slice(name="tasks", build=build))
    with pytest.raises(ValueError, match=r"probe\.count"):
        async with open_runtime(settings, slices=twice):
            pass


def test_an_id_of_another_kind_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        TASK.read("lnk_01jcq0000000000000000000ab")
