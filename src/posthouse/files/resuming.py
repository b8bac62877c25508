"""Uploads that survive bad networks: the rules of tus 1.0, without its HTTP.

Bytes are stored in parts of a few MiB. A part counts from the moment that one statement adds it
to the upload, and that statement holds only with the newest fence, so whoever was thrown out by a
new request changes nothing. A cut loses what came since the last part was begun, at most; a
connection that still can say so ends its part and loses nothing.
Source: tus resumable upload protocol 1.0.0.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from posthouse.files.appending import LEASE_S, Appending, Beat, Checksum
from posthouse.files.errors import (
    EmptyFileError,
    UploadLockedError,
    UploadNotFoundError,
    UploadOffsetError,
    UploadUnfinishedError,
)
from posthouse.files.intake import Intake, Measured
from posthouse.files.model import FILE, FileId, NewBlob, NewFile, Part, Upload, UploadKind
from posthouse.files.store import blobs as blob_store
from posthouse.files.store import uploads as store
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import fresh_key
from posthouse.kernel.errors import FieldProblem, InvalidInputError, NotFoundError, PosthouseError

_WAIT_S, _LOOK_S = 6.0, 0.1
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Resumables:
    """Uploads that come in pieces, over as many requests as it takes."""

    intake: Intake

    async def create(
        self,
        principal: Principal,
        new: NewFile,
        *,
        length_bytes: int | None,
        metadata: str,
        is_partial: bool = False,
    ) -> Upload:
        """Begin an upload; `length_bytes` None means that it is said later.

        Raises:
            FileTooLargeError: a file may not have so many bytes.
            QuotaExceededError: the workspace has no room for it.
            StorageFullError: the disk has none.
            EmptyFileError: it is to have no bytes.
        """
        self.intake.require_space()
        if length_bytes == 0 and not is_partial:
            raise EmptyFileError(fields=[FieldProblem("header.upload-length", "missing", "0")])
        if length_bytes is not None:
            self.intake.require_size(length_bytes)
        kind = UploadKind.PARTIAL if is_partial else UploadKind.TUS
        async with self.intake.db.begin() as tx:
            await self.intake.reserve(tx, principal.workspace_id, length_bytes or 0)
            made = await store.start(
                tx, principal, FileId(ids.fresh()), kind, new, metadata=metadata,
                length_bytes=length_bytes, reserved_bytes=length_bytes or 0,
                hours=self.intake.settings.upload_hours,
            )  # fmt: skip
        assert made is not None  # noqa: S101  it has no key that could be taken
        return made

    async def concatenate(
        self, principal: Principal, new: NewFile, parts: Sequence[FileId], *, metadata: str
    ) -> Upload:
        """Make one file of partial uploads, in this order.

        Raises:
            UploadUnfinishedError: one of them is not complete, or is none of the caller's.
            FileTooLargeError: together they are too large.
            TypeNotAllowedError: together they are of a type that is not taken.
        """
        async with self.intake.db.begin() as tx:
            found = [await store.find(tx, principal.workspace_id, one) for one in parts]
            whole = [
                one for one in found if one and one.is_complete and one.kind is UploadKind.PARTIAL
            ]
            if len(whole) < len(parts):
                raise UploadUnfinishedError
            length = sum(one.offset_bytes for one in whole)
            self.intake.require_size(length)
            made = await store.start(
                tx, principal, FileId(ids.fresh()), UploadKind.FINAL, new, metadata=metadata,
                manner=" ".join(FILE.show(one) for one in parts), length_bytes=length,
                hours=self.intake.settings.upload_hours,
            )  # fmt: skip
            assert made is not None  # noqa: S101  it has no key that could be taken
            await store.fill(tx, made)
        async with self._held(principal, made.id) as held:
            await self._complete(held)
        return replace(made, offset_bytes=length, is_done=True)

    async def find(self, principal: Principal, upload_id: FileId) -> Upload:
        """Find an upload of the caller's workspace.

        Raises:
            UploadNotFoundError: there is none, or it has expired.
        """
        async with self.intake.db.read() as connection:
            found = await store.find(connection, principal.workspace_id, upload_id)
        if found is None or found.kind is UploadKind.SINGLE:
            raise UploadNotFoundError
        return found

    async def append(
        self,
        principal: Principal,
        upload_id: FileId,
        offset_bytes: int,
        pieces: AsyncIterator[bytes],
        *,
        length_bytes: int | None = None,
        checksum: Checksum | None = None,
    ) -> Upload:
        """Add bytes that follow `offset_bytes`; the last of them make it a file.

        Raises:
            UploadNotFoundError: there is no such upload, or it has expired.
            UploadOffsetError: so many bytes are not there, or there are more.
            UploadLockedError: another request is adding to it.
            ChecksumError: the bytes are not those that were sent; none was kept.
            FileTooLargeError: there are more than were announced, or than a file may have.
            TypeNotAllowedError: it is of a type that is not taken; the upload is ended.
        """
        async with self._held(principal, upload_id) as taken:
            if taken.offset_bytes != offset_bytes:
                raise UploadOffsetError(f"It has {taken.offset_bytes} bytes.")
            held = taken if length_bytes is None else await self._declare(taken, length_bytes)
            grown = await Appending(self.intake, held, pieces, checksum).run()
            if grown.is_complete and grown.kind is UploadKind.TUS:
                await self._complete(grown)
        return grown

    async def end(self, principal: Principal, upload_id: FileId) -> None:
        """End an upload; its bytes are deleted.

        Raises:
            UploadNotFoundError: there is none, or it has become a file.
        """
        await self.find(principal, upload_id)
        async with self.intake.db.begin() as tx:
            keys = await store.drop_parts(tx, upload_id)
            reserved = await store.drop(tx, principal.workspace_id, upload_id)
            if reserved is None:
                raise UploadNotFoundError
            await blob_store.release(tx, principal.workspace_id, reserved)
        await self.intake.discard(*keys)

    async def finish_left(self) -> None:
        """Make files of uploads whose last request died when all bytes were there."""
        async with self.intake.db.read() as connection:
            left = await store.left(connection, _AT_ONCE)
        for upload in left:
            with suppress(UploadLockedError, UploadNotFoundError):
                async with self._held(upload.owner, upload.id) as held:
                    await self._complete(held)

    @asynccontextmanager
    async def _held(self, principal: Principal, upload_id: FileId) -> AsyncGenerator[Upload]:
        """Hold an upload while the block runs; wait a little for one that seems dead.

        Raises:
            UploadNotFoundError: there is none.
            UploadLockedError: somebody else keeps adding to it.
        """
        held = await self._take(principal, upload_id)
        try:
            yield held
        finally:
            await asyncio.shield(self._let_go(held))

    async def _take(self, principal: Principal, upload_id: FileId) -> Upload:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _WAIT_S
        while True:
            async with self.intake.db.begin() as tx:
                held = await store.take(tx, principal.workspace_id, upload_id, LEASE_S)
            if held is not None:
                return held
            found = await self.find(principal, upload_id)
            if found.is_done:
                raise UploadOffsetError(f"It is complete, with {found.offset_bytes} bytes.")
            if loop.time() > ends_at:
                raise UploadLockedError(retry_after_s=LEASE_S)
            await asyncio.sleep(_LOOK_S)

    async def _let_go(self, held: Upload) -> None:
        with suppress(PosthouseError):  # then its lease runs out by itself
            async with self.intake.db.begin() as tx:
                await store.let_go(tx, held)

    async def _declare(self, held: Upload, length_bytes: int) -> Upload:
        """Note how long the whole will be, which was left open.

        Raises:
            InvalidInputError: another length was said before, or there are more bytes already.
        """
        self.intake.require_size(length_bytes)
        if held.length_bytes == length_bytes:
            return held
        more = max(0, length_bytes - held.reserved_bytes)
        async with self.intake.db.begin() as tx:
            if length_bytes < held.offset_bytes or not await store.declare(tx, held, length_bytes):
                raise InvalidInputError(
                    "Upload-Length is said once, and not less than what is there.",
                    fields=[FieldProblem("header.upload-length", "invalid", "said before")],
                )
            await self.intake.reserve(tx, held.workspace_id, more)
            await store.grow(tx, held.id, more)
        return replace(held, length_bytes=length_bytes, reserved_bytes=held.reserved_bytes + more)

    async def _complete(self, held: Upload) -> None:
        """Put the parts together and make a file of them; one that may not be stored is ended.

        Raises:
            InvalidInputError: it is of a type that is not taken, or its recipe cannot read it.
            NotFoundError: its bytes are gone.
            UploadLockedError: another request has taken over.
        """
        async with self.intake.db.read() as connection:
            parts = await store.parts(connection, _pieces_of(held))
        try:
            blob, head = await self._assembled(held, parts)
            media_type = self.intake.require_type(head, held.new)
        except (InvalidInputError, NotFoundError):
            await self.end(held.owner, held.id)
            raise
        keys: list[str] = []
        async with self.intake.db.begin() as tx:
            reserved = await store.finish(tx, held, blob.sha256)
            if reserved is None:
                raise UploadLockedError(retry_after_s=LEASE_S)
            for one in _pieces_of(held):
                keys += await store.drop_parts(tx, one)
            for one in set(_pieces_of(held)) - {held.id}:
                reserved += await store.drop(tx, held.workspace_id, one) or 0
            await blob_store.release(tx, held.workspace_id, reserved)
            spare = await self.intake.register(tx, held.owner, held.id, held.new, blob, media_type)
        await self.intake.discard(spare, *(key for key in keys if key != blob.key))

    async def _assembled(self, held: Upload, parts: Sequence[Part]) -> tuple[NewBlob, bytes]:
        """One object of all parts, and its first bytes; a single part becomes it as it is."""
        key = parts[0].key if len(parts) == 1 else fresh_key("blobs")
        source = Measured(self._flow(held, parts), lambda _: None)
        if len(parts) == 1:
            async for _ in source.flow():
                pass
        else:
            async with self.intake.db.begin() as tx:
                await store.note_key(tx, held, key)
            await self.intake.blobs.write(key, source.flow())
        return NewBlob(key, source.size_bytes, source.digest()), source.head

    async def _flow(self, held: Upload, parts: Sequence[Part]) -> AsyncGenerator[bytes]:
        beat = Beat(self.intake, held)
        for part in parts:
            async for piece in self.intake.blobs.read(part.key):
                await beat()
                yield piece


def _pieces_of(held: Upload) -> list[FileId]:
    """The uploads whose parts make this one: itself, or the partial ones that it is made of."""
    if held.kind is not UploadKind.FINAL:
        return [held.id]
    return [FileId(FILE.read(one)) for one in held.manner.split()]
