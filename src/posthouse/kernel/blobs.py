"""Bytes by key: a folder of this machine, or any store that speaks S3.

One thin layer over obstore. What is written is whole or not there: a writer that fails or is killed
leaves no object. Which objects count is said by rows, so a key is random and never told to anybody.

obstore starts threads of its own. A process that has used it must end by `leave`, because the
interpreter's own way out aborts now and then (measured by `tests/kernel/test_blobs_at_exit.py`),
and must not fork; it is imported with the first use.
"""

import asyncio
import errno
import os
import secrets
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from posthouse.kernel.errors import NotFoundError, StorageFullError, UnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK = 8 * 1024 * 1024  # of a write; S3 wants at least 5 MiB
_AT_ONCE = 2  # chunks in the air: they are what an upload costs in memory
_READ = 1024 * 1024
_REQUEST_S, _CONNECT_S = 30, 3
_RETRIES = 3
_FULL = ("no space left", "os error 28", "quota exceeded", "os error 122", "insufficientstorage")


class StorageUnavailableError(UnavailableError):
    """The store of the files does not answer."""

    code: ClassVar[str] = "storage-unavailable"
    title: ClassVar[str] = "The file storage is not available"


class BlobMissingError(NotFoundError):
    """There is no object under this key."""

    code: ClassVar[str] = "blob-missing"
    title: ClassVar[str] = "The bytes of this file are gone"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    modified_at: datetime


class Blobs(Protocol):
    """A store of objects. Keys are texts of letters, digits, `-` and `/`, made by us."""

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store all pieces under `key`; if it raises, nothing is stored.

        What `pieces` raises is let through.

        Raises:
            StorageFullError: there is no space left.
            StorageUnavailableError: the store does not answer.
        """
        ...

    def read(self, key: str, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """Give `size` bytes from `start` on, or all that follow, in pieces.

        Raises:
            BlobMissingError: there is no such object.
            StorageUnavailableError: the store does not answer.
        """
        ...

    async def fetch(self, key: str, path: Path, *, may_share: bool) -> None:
        """Make a file of this machine of an object; with `may_share` it must not be written to.

        Raises:
            BlobMissingError: there is no such object.
            StorageUnavailableError: the store does not answer.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are gone are no error.

        Raises:
            StorageUnavailableError: the store does not answer.
        """
        ...

    def walk(self, prefix: str) -> AsyncIterator[Stored]:
        """List the objects whose keys begin with `prefix`, a path such as `blobs/`.

        Raises:
            StorageUnavailableError: the store does not answer.
        """
        ...

    async def tidy(self, older_than: timedelta) -> int:
        """Remove what killed writers left behind that no listing shows; give how many."""
        ...

    def free_share(self) -> float:
        """How much of the disk is free, from 0 to 1; 1 where nobody knows."""
        ...


def fresh_key(prefix: str) -> str:
    """A key that nobody has: random, spread over 256 folders."""
    name = secrets.token_hex(16)
    return f"{prefix}/{name[:2]}/{name[2:]}"


@dataclass(slots=True)
class ObjectBlobs:
    """Objects in the store that `url` names.

    `file:///path` is a folder. `s3://[KEY:SECRET@]BUCKET[/PREFIX][?endpoint=URL&region=NAME]` is a
    bucket; without a key the usual AWS_… variables count.
    """

    url: str
    _store: "ObjectStore | None" = field(default=None, init=False)

    @property
    def folder(self) -> Path | None:
        """The folder, if it is one."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store all pieces under `key`; if it raises, nothing is stored.

        Raises:
            StorageFullError: there is no space left.
            StorageUnavailableError: the store does not answer.
        """
        obstore = _library()

        source = _Source(pieces)
        store = self._opened()
        with _translated(source):
            await obstore.put_async(
                store, key, source, use_multipart=True, chunk_size=_CHUNK, max_concurrency=_AT_ONCE
            )
        if self.folder is not None:
            await asyncio.to_thread(_make_durable, self.folder / key)

    async def read(
        self, key: str, start: int = 0, size: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Give `size` bytes from `start` on, or all that follow, in pieces.

        Raises:
            BlobMissingError: there is no such object.
            StorageUnavailableError: the store does not answer.
        """
        if size == 0:
            return
        if self.folder is not None:
            async for piece in _read_file(self.folder / key, start, size):
                yield piece
            return
        obstore = _library()

        wanted: Any = {"offset": start} if size is None else (start, start + size)
        # S3 has no range of an empty object, not even the whole one.
        options: Any = {} if (start, size) == (0, None) else {"range": wanted}
        store = self._opened()
        with _translated():
            found = await obstore.get_async(store, key, options=options)
            async for piece in found.stream(min_chunk_size=_READ):
                yield bytes(piece)

    async def fetch(self, key: str, path: Path, *, may_share: bool) -> None:
        """Make a file of this machine of an object; with `may_share` it must not be written to.

        Raises:
            BlobMissingError: there is no such object.
            StorageFullError: there is no space left for it.
            StorageUnavailableError: the store does not answer.
        """
        if self.folder is not None and may_share:
            try:
                os.link(self.folder / key, path)
            except FileNotFoundError as error:
                raise BlobMissingError from error
            except OSError:
                pass  # another file system: copy
            else:
                return
        with await asyncio.to_thread(path.open, "wb") as copy:
            async for piece in self.read(key):
                with _translated():
                    await asyncio.to_thread(copy.write, piece)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are gone are no error.

        Raises:
            StorageUnavailableError: the store does not answer.
        """
        obstore = _library()

        store = self._opened()
        for key in keys:
            with suppress(BlobMissingError), _translated():
                await obstore.delete_async(store, key)

    async def walk(self, prefix: str) -> AsyncGenerator[Stored]:
        """List the objects whose keys begin with `prefix`, a path such as `blobs/`.

        Raises:
            StorageUnavailableError: the store does not answer.
        """
        obstore = _library()

        pages = obstore.list(self._opened(), prefix, chunk_size=1000)
        with _translated():
            async for page in pages:
                for one in page:
                    yield Stored(one["path"], one["size"], one["last_modified"])

    async def tidy(self, older_than: timedelta) -> int:
        """Remove what killed writers left behind; a bucket does that by its own rules."""
        if self.folder is None:
            return 0
        return await asyncio.to_thread(_tidy, self.folder, datetime.now(UTC) - older_than)  # noqa: TID251  of files

    def free_share(self) -> float:
        """How much of the disk is free, from 0 to 1; 1 where nobody knows."""
        if self.folder is None:
            return 1.0
        with suppress(OSError):
            usage = shutil.disk_usage(self.folder)
            return usage.free / usage.total
        return 1.0

    def _opened(self) -> "ObjectStore":
        """The store; opened with its first use.

        Raises:
            StorageUnavailableError: the folder cannot be made, or the URL names no store.
        """
        if self._store is None:
            with _translated():
                self._store = _open(self.url)
            _Used.is_used = True
        return self._store


class _Used:
    """Whether this process has used obstore."""

    is_used: ClassVar[bool] = False


def leave(code: int) -> NoReturn:
    """End the process; at once if it has used obstore, whose threads do not survive Python's end.

    Raises:
        SystemExit: it has not, so Python may end as it does.
    """
    if _Used.is_used:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


@dataclass(slots=True)
class _Source:
    """Hands pieces to obstore, and keeps the error that it would hide."""

    pieces: AsyncIterator[bytes]
    error: BaseException | None = None

    def __aiter__(self) -> "_Source":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.pieces.__anext__()
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _library() -> Any:
    """obstore, which is imported with its first use.

    Raises:
        StorageUnavailableError: it is not installed.
    """
    try:
        import obstore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StorageUnavailableError("Install it with: pip install 'posthouse[files]'") from error
    return obstore


def _open(url: str) -> "ObjectStore":
    from obstore.store import LocalStore, S3Store  # noqa: PLC0415

    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder, automatic_cleanup=False)
    if parts.scheme != "s3" or not parts.hostname:
        raise StorageUnavailableError("POSTHOUSE_BLOBS_URL is neither file:///… nor s3://bucket.")
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    endpoint = asked.get("endpoint")
    chosen: Any = {"region": asked["region"]} if "region" in asked else {}
    if endpoint:
        chosen["endpoint"] = endpoint
    if parts.username:
        chosen["access_key_id"] = unquote(parts.username)
        chosen["secret_access_key"] = unquote(parts.password or "")
    return S3Store(
        parts.hostname,
        prefix=parts.path.strip("/") or None,
        config=chosen,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "timeout": timedelta(seconds=_REQUEST_S),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_REQUEST_S)},
    )


@contextmanager
def _translated(source: _Source | None = None) -> Generator[None]:
    """Raise what a block raises in our terms, and what its source raised as it was."""
    try:
        yield
    except Exception as error:
        if source is not None and source.error is not None:
            raise source.error from None
        ours = _ours(error)
        raise ours from error


def _ours(error: Exception) -> Exception:
    """Name a failure in our terms."""
    if isinstance(error, StorageUnavailableError | StorageFullError | BlobMissingError):
        return error
    words = str(error).lower()
    is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if is_full or any(sign in words for sign in _FULL):
        return StorageFullError()
    if isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError":
        return BlobMissingError()
    return StorageUnavailableError(retry_after_s=5)


def _make_durable(path: Path) -> None:
    """See to it that a file and its name survive a power cut."""
    for one, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        opened = os.open(one, flags)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


async def _read_file(path: Path, start: int, size: int | None) -> AsyncGenerator[bytes]:
    """Read a file in a thread; obstore would hand the same bytes through a second runtime."""
    with _translated():
        opened = await asyncio.to_thread(path.open, "rb", 0)
    with opened:
        opened.seek(start)
        left = size
        while left is None or left > 0:
            wanted = _READ if left is None else min(_READ, left)
            piece = await asyncio.to_thread(opened.read, wanted)
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _tidy(folder: Path, before: datetime) -> int:
    """Remove half-written files, which obstore names `key#number`, and folders without files."""
    removed = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):
            if path.stat().st_mtime >= before.timestamp():
                continue
            if path.is_dir():
                path.rmdir()  # refused while there is something in it
            elif "#" in path.name:
                path.unlink()
                removed += 1
    return removed
