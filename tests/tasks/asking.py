"""Asking for tasks and waiting for them, as a caller does."""

import asyncio
from typing import Any

import httpx


async def ask(api: httpx.AsyncClient, kind: str, given: Any = None, **more: Any) -> str:
    answer = await api.post("/api/v1/tasks", json={"kind": kind, "input": given or {}, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


async def look(api: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    answer = await api.get(f"/api/v1/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(api: httpx.AsyncClient, task_id: str, *statuses: str) -> dict[str, Any]:
    """Wait until a task is in one of these statuses, by default until it has ended."""
    wanted = statuses or ("completed", "failed", "cancelled")
    async with asyncio.timeout(30):
        while (task := await look(api, task_id))["status"] not in wanted:
            await asyncio.sleep(0.02)
    return task
