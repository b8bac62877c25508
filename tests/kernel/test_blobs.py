"""Bytes by key keep one contract, on a folder of this machine and on a real S3 server."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from datetime import timedelta
from pathlib import Path

import pytest

from posthouse.kernel.blobs import (
    BlobMissingError,
    ObjectBlobs,
    StorageUnavailableError,
    fresh_key,
)
from posthouse.kernel.errors import StorageFullError
from tests.disks import small_disk
from tests.kernel.bucket import KEY, SECRET, s3_server
from tests.live import free_port

LARGE = 20_000_000


class SenderGoneError(Exception):
    """What a producer of bytes raises."""


@pytest.fixture(scope="module")
async def endpoint(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    async with s3_server(tmp_path_factory.mktemp("s3") / "data") as endpoint:
        await until_it_stores(endpoint)
        yield endpoint


async def until_it_stores(endpoint: str) -> None:
    """Its parts meet each other a moment after it listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                await bucket(endpoint).write(fresh_key("blobs"), pieces(b"x"))
            except StorageUnavailableError:
                await asyncio.sleep(0.1)
            else:
                return


def bucket(endpoint: str) -> ObjectBlobs:
    """A place in a bucket that no other test has."""
    prefix = f"some/{secrets.token_hex(6)}"
    return ObjectBlobs(f"s3://{KEY}:{SECRET}@tests/{prefix}?endpoint={endpoint}")


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBlobs:
    if request.param == "folder":
        return ObjectBlobs((tmp_path / "store").as_uri())
    return bucket(request.getfixturevalue("endpoint"))


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "disk", 24) as path:
        yield path


async def pieces(content: bytes, size: int = 300_000) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def broken(content: bytes) -> AsyncGenerator[bytes]:
    async for piece in pieces(content):
        yield piece
    raise SenderGoneError


async def whole(flow: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in flow])


async def keys(blobs: ObjectBlobs, prefix: str = "blobs") -> set[str]:
    return {stored.key async for stored in blobs.walk(prefix)}


@pytest.mark.parametrize("size", [0, 1, 299_999, 8 * 1024 * 1024, LARGE])
async def test_what_is_written_is_read(blobs: ObjectBlobs, size: int) -> None:
    key, content = fresh_key("blobs"), os.urandom(size)
    await blobs.write(key, pieces(content))
    read = await whole(blobs.read(key))
    assert hashlib.sha256(read).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("start", "size"), [(0, 10), (5, 1), (0, None), (100_000, None), (999_999, None), (999_990, 10)]
)
async def test_a_range_is_read(blobs: ObjectBlobs, start: int, size: int | None) -> None:
    key, content = fresh_key("blobs"), os.urandom(1_000_000)
    await blobs.write(key, pieces(content))
    end = None if size is None else start + size
    assert await whole(blobs.read(key, start, size)) == content[start:end]


async def test_no_bytes_of_an_object_are_none(blobs: ObjectBlobs) -> None:
    key = fresh_key("blobs")
    await blobs.write(key, pieces(b"abc"))
    assert await whole(blobs.read(key, 3, 0)) == b""


async def test_an_object_is_replaced_whole(blobs: ObjectBlobs) -> None:
    key = fresh_key("blobs")
    await blobs.write(key, pieces(b"first and longer"))
    await blobs.write(key, pieces(b"second"))
    assert await whole(blobs.read(key)) == b"second"


@pytest.mark.parametrize("size", [0, 1, LARGE])
async def test_a_producer_that_raises_leaves_nothing_and_is_heard(
    blobs: ObjectBlobs, size: int
) -> None:
    key = fresh_key("blobs")
    with pytest.raises(SenderGoneError):
        await blobs.write(key, broken(os.urandom(size)))
    assert await keys(blobs) == set()
    with pytest.raises(BlobMissingError):
        await whole(blobs.read(key))


async def test_a_writer_that_is_cancelled_leaves_nothing(blobs: ObjectBlobs) -> None:
    key, is_under_way = fresh_key("blobs"), asyncio.Event()

    async def endless() -> AsyncGenerator[bytes]:
        yield os.urandom(12_000_000)
        is_under_way.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(blobs.write(key, endless()))
        await is_under_way.wait()
        writing.cancel()
    assert writing.cancelled()
    assert await keys(blobs) == set()


async def test_what_was_half_written_is_tidied_away(tmp_path: Path) -> None:
    blobs = ObjectBlobs(tmp_path.as_uri())
    kept = fresh_key("blobs")
    await blobs.write(kept, pieces(b"whole"))
    with pytest.raises(SenderGoneError):
        await blobs.write(fresh_key("blobs"), broken(os.urandom(LARGE)))
    left = [path for path in tmp_path.rglob("*#*") if path.is_file()]
    assert await blobs.tidy(timedelta(hours=1)) == 0
    assert await blobs.tidy(timedelta(0)) == len(left)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / kept]


async def test_deleting_twice_is_deleting(blobs: ObjectBlobs) -> None:
    gone, kept = fresh_key("blobs"), fresh_key("blobs")
    await blobs.write(gone, pieces(b"a"))
    await blobs.write(kept, pieces(b"b"))
    await blobs.delete([gone, fresh_key("blobs")])
    await blobs.delete([gone])
    assert await keys(blobs) == {kept}


async def test_a_walk_lists_what_is_under_a_prefix(blobs: ObjectBlobs) -> None:
    sizes = {fresh_key("blobs"): size for size in (1, 20, 300)}
    for key, size in sizes.items():
        await blobs.write(key, pieces(b"x" * size))
    await blobs.write(fresh_key("parts"), pieces(b"other"))
    found = [stored async for stored in blobs.walk("blobs")]
    assert {stored.key: stored.size_bytes for stored in found} == sizes
    assert all(stored.modified_at.tzinfo for stored in found)


async def test_a_walk_through_nothing_lists_nothing(blobs: ObjectBlobs) -> None:
    await blobs.write(fresh_key("parts"), pieces(b"other"))
    assert await keys(blobs, "blobs") == set()


@pytest.mark.parametrize("may_share", [True, False])
async def test_an_object_becomes_a_file(
    blobs: ObjectBlobs, tmp_path: Path, may_share: bool
) -> None:
    key, content = fresh_key("blobs"), os.urandom(2_500_000)
    await blobs.write(key, pieces(content))
    copy = tmp_path / "copy"
    await blobs.fetch(key, copy, may_share=may_share)
    assert copy.read_bytes() == content


async def test_a_copy_may_be_written_to(blobs: ObjectBlobs, tmp_path: Path) -> None:
    key = fresh_key("blobs")
    await blobs.write(key, pieces(b"as it was"))
    await blobs.fetch(key, tmp_path / "copy", may_share=False)
    (tmp_path / "copy").write_bytes(b"changed")
    assert await whole(blobs.read(key)) == b"as it was"


async def test_an_object_of_another_disk_is_copied(small: Path, tmp_path: Path) -> None:
    key, blobs = fresh_key("blobs"), ObjectBlobs(small.as_uri())
    await blobs.write(key, pieces(b"far away"))
    await blobs.fetch(key, tmp_path / "copy", may_share=True)
    assert (tmp_path / "copy").read_bytes() == b"far away"


async def test_what_is_not_there_is_missing(blobs: ObjectBlobs, tmp_path: Path) -> None:
    await blobs.write(fresh_key("blobs"), pieces(b"another"))
    missing = fresh_key("blobs")
    with pytest.raises(BlobMissingError):
        await whole(blobs.read(missing))
    with pytest.raises(BlobMissingError):
        await whole(blobs.read(missing, 5, 10))
    for may_share in (True, False):
        with pytest.raises(BlobMissingError):
            await blobs.fetch(missing, tmp_path / "copy", may_share=may_share)


async def assert_unavailable(blobs: ObjectBlobs) -> None:
    """Every way in says within its limits that nobody answers."""
    key = fresh_key("blobs")
    with pytest.raises(StorageUnavailableError):
        await blobs.write(key, pieces(b"x"))
    with pytest.raises(StorageUnavailableError):
        await whole(blobs.read(key))
    with pytest.raises(StorageUnavailableError):
        await blobs.delete([key])
    with pytest.raises(StorageUnavailableError):
        await keys(blobs)


async def test_a_server_that_is_away_is_said_to_be() -> None:
    async with asyncio.timeout(60):
        await assert_unavailable(bucket(f"http://127.0.0.1:{free_port()}"))


async def test_a_server_that_stops_is_said_to_be_away(tmp_path: Path) -> None:
    key = fresh_key("blobs")
    async with s3_server(tmp_path / "s3") as endpoint:
        await until_it_stores(endpoint)
        blobs = bucket(endpoint)
        await blobs.write(key, pieces(b"x"))
    async with asyncio.timeout(60):
        await assert_unavailable(blobs)


async def test_another_key_than_the_servers_opens_nothing(endpoint: str) -> None:
    url = bucket(endpoint).url.replace(f":{SECRET}@", ":wrong@")
    async with asyncio.timeout(60):
        await assert_unavailable(ObjectBlobs(url))


@pytest.mark.parametrize("url", ["ftp://host/path", "s3:///prefix", "", "no url"])
async def test_a_url_that_names_no_store_opens_nothing(url: str) -> None:
    with pytest.raises(StorageUnavailableError):
        await ObjectBlobs(url).write(fresh_key("blobs"), pieces(b"x"))


async def test_a_full_disk_is_said_to_be_full_and_keeps_what_it_has(small: Path) -> None:
    blobs, first, content = ObjectBlobs(small.as_uri()), fresh_key("blobs"), os.urandom(6_000_000)
    await blobs.write(first, pieces(content))
    free = blobs.free_share()
    with pytest.raises(StorageFullError):
        await blobs.write(fresh_key("blobs"), pieces(os.urandom(30_000_000)))
    assert await keys(blobs) == {first}
    assert await whole(blobs.read(first)) == content
    await blobs.tidy(timedelta(0))
    assert blobs.free_share() == pytest.approx(free, abs=0.01)
    assert 0.5 < free < 0.8


async def test_a_copy_that_finds_no_room_says_so(small: Path, tmp_path: Path) -> None:
    blobs, key = ObjectBlobs((tmp_path / "store").as_uri()), fresh_key("blobs")
    await blobs.write(key, pieces(os.urandom(30_000_000)))
    with pytest.raises(StorageFullError):
        await blobs.fetch(key, small / "copy", may_share=True)


async def test_a_bucket_knows_no_end_of_its_room(endpoint: str) -> None:
    assert bucket(endpoint).free_share() == 1.0
