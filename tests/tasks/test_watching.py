"""A task can be watched by server-sent events, and the line taken up again."""

import json
from typing import Any

import httpx

from tests.tasks.asking import ask, until


async def events(
    api: httpx.AsyncClient, task_id: str, last: str | None = None
) -> list[tuple[int, dict[str, Any]]]:
    headers = {"Last-Event-ID": last} if last else {}
    seen: list[tuple[int, dict[str, Any]]] = []
    path = f"/api/v1/tasks/{task_id}/events"
    async with api.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        number = 0
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                seen.append((number, json.loads(value)))
    return seen


async def test_a_watcher_sees_progress_and_the_end(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 30, "pause_s": 0.05})
    seen = await events(api, task_id)
    assert [number for number, _ in seen] == sorted({number for number, _ in seen})
    assert all(number == task["version"] for number, task in seen)
    assert any(0 < task["progress"]["done"] < 30 for _, task in seen)
    assert seen[-1][1]["status"] == "completed"


async def test_a_watcher_that_comes_back_sees_only_what_is_new(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 1})
    task = await until(api, task_id)
    assert await events(api, task_id, last=str(task["version"])) == []
    ((number, seen),) = await events(api, task_id, last=str(task["version"] - 1))
    assert (number, seen) == (task["version"], task)


async def test_a_strange_last_event_id_is_as_good_as_none(api: httpx.AsyncClient) -> None:
    task_id = await ask(api, "probe.count", {"to": 1})
    await until(api, task_id)
    for last in ("x", "-1", "1" * 90):
        assert len(await events(api, task_id, last=last)) == (0 if last == "1" * 90 else 1)
