"""While the storage is away uploads say so, what is known is shown, and work waits its turn."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import httpx

from posthouse.runtime import Runtime
from tests.files.sending import CSV, content_of, done, local, look, send

PROFILE = {"steps": {"p": {"use": "table.profile"}}}


@contextmanager
def storage_away(runtime: Runtime) -> Generator[None]:
    """Put a file where the folder of the blobs was: nothing below it can be read or written."""
    folder = runtime.settings.data / "blobs"
    away = folder.with_name("blobs.away")
    folder.rename(away)
    folder.write_bytes(b"")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


async def test_work_waits_for_the_storage_and_uses_up_no_attempt(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    file_id = await send(client, b"zip\n" + CSV)
    with storage_away(runtime):
        answer = await client.post(f"/api/v1/files/{file_id}/process", json={"recipe": PROFILE})
        assert answer.status_code == 202
        job = answer.json()["job_id"]
        async with asyncio.timeout(20):
            while not (shown := await look(client, job))["problem"]:
                await asyncio.sleep(0.05)
        assert shown["problem"]["code"] == "storage-unavailable"
        path = f"/api/v1/tasks/{shown['task_id']}"
        for _ in range(8):  # more runs than a task has attempts
            async with runtime.parts.db.begin() as tx:
                await tx.execute("UPDATE tasks SET ready_at = now() WHERE state = 'waiting'")
            await asyncio.sleep(0.5)
        task = (await client.get(path)).json()
        assert task["status"] in {"pending", "running"}
        assert task["attempts"] <= 1
        async with runtime.parts.db.begin() as tx:
            runs = await tx.fetchval(
                "SELECT token FROM tasks WHERE kind = 'files.process' ORDER BY id DESC LIMIT 1"
            )
        assert runs > 5
    async with runtime.parts.db.begin() as tx:
        await tx.execute("UPDATE tasks SET ready_at = now() WHERE state = 'waiting'")
    assert (await done(client, job))["status"] == "completed"


async def test_uploads_and_downloads_say_so_and_nothing_is_left(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    shown = await look(client, await send(client))
    with storage_away(runtime):
        answer = await client.put("/api/v1/files/upload?name=b.csv", content=b"other,rows\n1,2\n")
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert "retry-after" in answer.headers
        answer = await client.get(local(shown["url"]))
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert (await client.post(f"/api/v1/files/{shown['id']}/link", json={})).status_code == 200
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (len(CSV), 0)
    assert await content_of(client, shown["url"]) == CSV
