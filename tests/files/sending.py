"""What tests send and read: uploads, and their files once the work is done."""

import asyncio
import json
from typing import Any

import httpx

from posthouse.runtime import Runtime
from tests.files.foreign import RECIPE

PUBLIC_URL = "http://127.0.0.1:8000"
PNG = b"\x89PNG\r\n\x1a\n"
UPLOAD = "/api/v1/files/upload"
CSV = b"name,price\nLamp,29.99\nChair,5.00\n"


async def send(
    client: httpx.AsyncClient,
    content: bytes = CSV,
    name: str = "a.csv",
    recipe: Any = None,
    **headers: str,
) -> str:
    """Upload by a form; give the id of the file."""
    data = (
        {}
        if recipe is None
        else {"recipe": recipe if isinstance(recipe, str) else json.dumps(recipe)}
    )
    answer = await client.post(
        "/api/v1/files/upload", files={"file": (name, content)}, data=data, headers=headers
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def look(client: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/files/{file_id}/status")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def done(client: httpx.AsyncClient, file_id: str, within_s: float = 30) -> dict[str, Any]:
    """The file once the work on it has ended."""
    async with asyncio.timeout(within_s):
        while (shown := await look(client, file_id))["status"] in {"pending", "running"}:
            await asyncio.sleep(0.05)
    return shown


def local(url: str) -> str:
    """The address of a download, as the test's own server has it."""
    assert url.startswith(PUBLIC_URL)
    return url.removeprefix(PUBLIC_URL)


async def content_of(client: httpx.AsyncClient, url: str) -> bytes:
    answer = await client.get(local(url))
    assert answer.status_code == 200, answer.text
    return answer.content


__all__ = ["CSV", "PNG", "RECIPE", "content_of", "done", "local", "look", "send"]


async def left_of(client: httpx.AsyncClient, runtime: Runtime) -> dict[str, int]:
    """What a workspace has in rows and in counted bytes."""
    usage = (await client.get("/api/v1/files/usage")).json()
    files = (await client.get("/api/v1/files")).json()["items"]
    async with runtime.parts.db.read() as connection:
        uploads = await connection.fetchval("SELECT count(*) FROM uploads WHERE kind = 'single'")
    return {
        "files": len(files),
        "uploads": uploads,
        "used": usage["used_bytes"],
        "reserved": usage["reserved_bytes"],
    }


async def objects(runtime: Runtime) -> set[str]:
    return {stored.key async for stored in runtime.parts.blobs.walk("blobs")}
