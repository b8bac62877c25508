"""tuspy, the client of Python programs, uploads to us in each of its ways."""

import asyncio
import io
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

import httpx
import pytest
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

from tests.files.test_tus import offset_of
from tests.peers.test_tus_js_client import assert_stored

CHUNK = 400_000


class KeptOpen(io.BytesIO):
    """A stream that stays open when tuspy has taken the fingerprint of its bytes."""

    def close(self) -> None:
        pass


def uploader(base: str, client: httpx.AsyncClient, content: IO[bytes], **options: Any) -> Any:
    tus: Any = TusClient(
        f"{base}/api/v1/files/tus", headers={"Authorization": client.headers["authorization"]}
    )
    metadata = {"filename": "peer.csv", "filetype": "text/csv"}
    return tus.uploader(file_stream=content, metadata=metadata, **options)


def path_of(base: str, sent: Any) -> str:
    return sent.url.removeprefix(base)


@pytest.mark.parametrize(
    "options",
    [{}, {"chunk_size": CHUNK}, {"chunk_size": CHUNK, "upload_checksum": True}],
    ids=["plain", "chunked", "with checksums"],
)
async def test_it_uploads(
    base: str, client: httpx.AsyncClient, source: Path, options: dict[str, Any]
) -> None:
    with source.open("rb") as content:
        sent = uploader(base, client, content, **options)
        await asyncio.to_thread(sent.upload)
    await assert_stored(client, path_of(base, sent), source)


async def test_it_resumes_with_the_address_that_it_has_stored(
    base: str, client: httpx.AsyncClient, source: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"chunk_size": CHUNK, "store_url": True}
    content = KeptOpen(source.read_bytes())
    with closing(cast("Any", FileStorage(str(tmp_path / "urls.json")))) as storage:
        first = uploader(base, client, content, url_storage=storage, **options)
        await asyncio.to_thread(first.upload, CHUNK * 2)
        assert await offset_of(client, path_of(base, first)) == CHUNK * 2
        again = uploader(base, client, content, url_storage=storage, **options)
        assert (again.url, again.offset) == (first.url, CHUNK * 2)
        await asyncio.to_thread(again.upload)
    await assert_stored(client, path_of(base, again), source)
