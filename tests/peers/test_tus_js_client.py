"""tus-js-client, which browsers use, uploads to us in each of its ways."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.files.sending import content_of, look
from tests.files.test_tus import V, id_of

_HERE = Path(__file__).parent


async def upload(
    base: str, client: httpx.AsyncClient, source: Path, way: str = "plain", **options: Any
) -> str:
    """Upload a file by the program beside this one; give the address of the upload."""
    node = shutil.which("node")
    assert node, "install Node 18 or newer, such as Debian's package nodejs; see `make test-peers`"
    asked = {
        "endpoint": f"{base}/api/v1/files/tus",
        "authorization": client.headers["authorization"],
        "path": str(source),
        "way": way,
        "options": options,
    }
    process = await asyncio.create_subprocess_exec(
        *(node, _HERE / "upload.js", json.dumps(asked)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=_HERE,
    )
    async with asyncio.timeout(60):
        said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    return said.decode().strip().removeprefix(base)


async def assert_stored(client: httpx.AsyncClient, url: str, source: Path) -> None:
    shown = await look(client, id_of(url))
    assert (shown["name"], shown["media_type"]) == ("peer.csv", "text/csv")
    assert await content_of(client, shown["url"]) == source.read_bytes()
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (source.stat().st_size, 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunkSize": 250_000},
        {"uploadDataDuringCreation": True},
        {"uploadDataDuringCreation": True, "chunkSize": 1_000_000},
        {"parallelUploads": 3},
        {"parallelUploads": 2, "chunkSize": 300_000},
        {"uploadLengthDeferred": True, "chunkSize": 400_000},
        {"addRequestId": True},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
async def test_it_uploads(
    base: str, client: httpx.AsyncClient, source: Path, options: dict[str, Any]
) -> None:
    await assert_stored(client, await upload(base, client, source, **options), source)


async def test_it_resumes_after_an_abort(
    base: str, client: httpx.AsyncClient, source: Path
) -> None:
    await assert_stored(client, await upload(base, client, source, "resume"), source)


async def test_it_ends_an_upload(base: str, client: httpx.AsyncClient, source: Path) -> None:
    url = await upload(base, client, source, "terminate")
    assert (await client.head(url, headers=V)).status_code == 404
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (0, 0)
