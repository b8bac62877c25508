"""A task is cancelled at once while it waits, and stopped when it runs."""

import asyncio

import httpx

from tests.tasks.asking import ask, until


async def test_a_task_that_waits_is_cancelled_at_once(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 1}, run_at="2999-01-01T00:00:00Z")
    answer = await api.post(f"/api/v1/tasks/{task_id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["finished_at"] is not None
    again = await api.post(f"/api/v1/tasks/{task_id}/cancel")
    assert again.json()["version"] == answer.json()["version"]


async def test_a_task_that_runs_stops_where_it_looks(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 100_000, "pause_s": 0.05})
    await until(api, task_id, "running")
    answer = await api.post(f"/api/v1/tasks/{task_id}/cancel")
    assert (answer.json()["status"], answer.json()["is_cancelling"]) == ("running", True)
    task = await until(api, task_id)
    assert (task["status"], task["is_cancelling"]) == ("cancelled", False)
    assert task["result"] is None


async def test_a_task_that_does_not_look_is_stopped_by_force(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.deaf")
    await until(api, task_id, "running")
    await api.post(f"/api/v1/tasks/{task_id}/cancel")
    assert (await until(api, task_id))["status"] == "cancelled"


async def test_what_has_ended_is_not_cancelled(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 1})
    await until(api, task_id)
    answer = await api.post(f"/api/v1/tasks/{task_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "task-ended")
    answer = await api.post(f"/api/v1/tasks/{task_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "task-not-ended")


async def test_a_cancelled_task_can_be_run_again(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 1}, run_at="2999-01-01T00:00:00Z")
    await api.post(f"/api/v1/tasks/{task_id}/cancel")
    await api.post(f"/api/v1/tasks/{task_id}/retry")
    assert (await until(api, task_id))["status"] == "completed"


async def test_cancelling_races_with_the_end_and_one_of_them_wins(api: httpx.AsyncClient) -> None:
    ids = [await ask(api, "probe.say", {"words": f"race {n}"}) for n in range(20)]
    async with asyncio.TaskGroup() as group:
        for task_id in ids:
            group.create_task(api.post(f"/api/v1/tasks/{task_id}/cancel"))
    for task_id in ids:
        task = await until(api, task_id)
        assert (task["status"] == "completed") == (task["result"] is not None)
