"""What every way in has in common: room, size, type, digest, and the row that makes it count."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from posthouse.files.errors import (
    EmptyFileError,
    FileTooLargeError,
    QuotaExceededError,
    TypeNotAllowedError,
)
from posthouse.files.model import FILE, PROCESS, FileId, NewBlob, NewFile
from posthouse.files.recipes import plan
from posthouse.files.settings import FilesSettings
from posthouse.files.sniffing import ENOUGH, media_type_of
from posthouse.files.store import blobs as blob_store
from posthouse.files.store import files as store
from posthouse.kernel import audit
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import Blobs
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, PosthouseError, StorageFullError
from posthouse.tasks.public import TasksDoor

_GATHERED = 1_048_576  # a piece of this size is worth a thread for its digest


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes bytes in and makes files of them."""

    db: Database
    blobs: Blobs
    tasks: TasksDoor
    settings: FilesSettings

    def require_space(self) -> None:
        """Go on if the disk has room for uploads.

        Raises:
            StorageFullError: too little of it is free.
        """
        if self.blobs.free_share() < self.settings.least_free:
            raise StorageFullError("The disk is nearly full; uploads wait until there is room.")

    def require_size(self, size_bytes: int) -> None:
        """Go on if a file may have so many bytes.

        Raises:
            FileTooLargeError: it may not.
        """
        if size_bytes > self.settings.max_bytes:
            raise FileTooLargeError(
                f"A file may have {self.settings.max_bytes} bytes.",
                headers={"Connection": "close"},
            )

    def require_type(self, head: bytes, new: NewFile) -> str:
        """Decide by its first bytes what a file is, and whether it may be stored.

        Raises:
            EmptyFileError: there are no bytes.
            TypeNotAllowedError: it is of a type that is not taken, or that its recipe cannot read.
            UnknownProcessorError: its recipe uses a processor that this version does not have.
        """
        if not head:
            raise EmptyFileError(fields=[FieldProblem("file", "missing", "send a file with bytes")])
        media_type = media_type_of(head, new.name, new.declared_type)
        if media_type not in self.settings.types:
            message = f"it is {media_type} by its content"
            raise TypeNotAllowedError(
                f"{media_type} is not taken here; taken are {', '.join(self.settings.types)}.",
                fields=[FieldProblem("file", "type-not-allowed", message)],
            )
        if new.recipe is not None:
            plan(new.recipe.steps, media_type)
        return media_type

    async def reserve(self, tx: Tx, workspace_id: UUID, size_bytes: int) -> None:
        """Keep room for bytes that will come.

        Raises:
            QuotaExceededError: the workspace has not got it.
        """
        quota = self.settings.quota_bytes
        if size_bytes > 0 and not await blob_store.reserve(tx, workspace_id, size_bytes, quota):
            raise QuotaExceededError(
                f"A workspace may store {quota} bytes; delete files, or ask for more room."
            )

    async def put(self, key: str, source: "Measured") -> NewBlob:
        """Store bytes that no row makes visible yet.

        Raises:
            StorageFullError: there is no space left.
            StorageUnavailableError: the store does not answer.
        """
        await self.blobs.write(key, source.flow())
        return NewBlob(key, source.size_bytes, source.digest())

    async def register(
        self,
        tx: Tx,
        owner: Principal,
        file_id: FileId,
        new: NewFile,
        blob: NewBlob,
        media_type: str,
    ) -> str | None:
        """Make stored bytes a file, and queue its work; give a key that is not needed any more.

        That is the key of `blob` if the workspace has the same content already.
        """
        kept = await blob_store.keep(tx, owner.workspace_id, blob)
        task_id: UUID | None = None
        if new.recipe is not None:
            task_id = await self.tasks.submit(owner, PROCESS, {"file": FILE.show(file_id)})
        await store.insert(tx, file_id, owner, new, kept, media_type, task_id)
        await audit.record(tx, owner, "file.stored", FILE.show(file_id))
        return None if kept.key == blob.key else blob.key

    async def discard(self, *keys: str | None) -> None:
        """Delete bytes that no row knows; what cannot be deleted now is swept later."""
        with suppress(PosthouseError):
            await self.blobs.delete([key for key in keys if key is not None])


async def _nothing(size_bytes: int) -> None:
    del size_bytes


@dataclass(slots=True)
class Measured:
    """Bytes on their way into the store: counted, digested, and looked at before the first goes on.

    `check(head)` raises if the first bytes are not of a type that is taken; `grown(size)` is
    called before so many bytes in all go on, and raises if they may not.
    """

    pieces: AsyncIterator[bytes]
    check: Callable[[bytes], None]
    grown: Callable[[int], Awaitable[None]] = _nothing
    size_bytes: int = 0
    head: bytes = b""
    _hash: Any = field(default_factory=hashlib.sha256)

    async def flow(self) -> AsyncGenerator[bytes]:
        """Give the bytes in pieces of a good size.

        The digest of a piece is made in a thread while the next one comes.
        """
        loop = asyncio.get_running_loop()
        digesting: asyncio.Future[None] | None = None
        async for piece in gathered(self._counted(), _GATHERED):
            if not self.head:
                self.head = piece[:ENOUGH]
                self.check(self.head)
            if digesting is not None:
                await digesting
            digesting = loop.run_in_executor(None, self._hash.update, piece)
            yield piece
        if digesting is not None:
            await digesting
        if not self.head:
            self.check(b"")

    async def _counted(self) -> AsyncGenerator[bytes]:
        async for piece in self.pieces:
            self.size_bytes += len(piece)
            await self.grown(self.size_bytes)
            yield piece

    def digest(self) -> bytes:
        """The SHA-256 of all bytes; ask when they have flowed."""
        digest: bytes = self._hash.digest()
        return digest


async def gathered(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """Give the same bytes in pieces of at least `size`, but for the last."""
    held: list[bytes] = []
    count = 0
    async for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            yield b"".join(held)
            held.clear()
            count = 0
    if count:
        yield b"".join(held)


async def digest_of(pieces: AsyncIterator[bytes]) -> bytes:
    """The SHA-256 of bytes that are not kept."""
    found = hashlib.sha256()
    async for piece in gathered(pieces, _GATHERED):
        await asyncio.to_thread(found.update, piece)
    return found.digest()
