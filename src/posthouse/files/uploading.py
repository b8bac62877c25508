"""Uploads in one request: as they come, into the store, and then a row makes them count."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from posthouse.files.errors import UploadCutError
from posthouse.files.intake import Intake, Measured, digest_of
from posthouse.files.model import FileId, NewFile, Upload, UploadKind
from posthouse.files.store import blobs as blob_store
from posthouse.files.store import uploads as store
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import fresh_key
from posthouse.kernel.db import Tx
from posthouse.kernel.idempotency import IdempotencyInFlightError, IdempotencyMismatchError

_LEASE_S = 120.0  # the edge gives up on a body that does not come for 30 s
_BEAT_S = 15.0
_STEP = 64 * 1024 * 1024  # room is reserved in such steps where nobody says how much will come
_HOURS = 24  # a key is kept for so long


@dataclass(frozen=True, slots=True)
class Sending:
    """A file on its way in. `settle` is called after the last piece and gives what is said of it.

    `most_bytes` is what the request says that it has, or None, of which `other_bytes` may be its
    form's own; `key` is its `Idempotency-Key`.
    """

    new: NewFile
    pieces: AsyncIterator[bytes]
    settle: Callable[[], Awaitable[NewFile]]
    most_bytes: int | None
    key: str | None
    other_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Uploads:
    """Takes whole files in."""

    intake: Intake

    async def receive(self, principal: Principal, sending: Sending) -> tuple[FileId, bool]:
        """Store a file; give its id, and whether an earlier request with the key stored it.

        Raises:
            FileTooLargeError: it has more bytes than a file may have.
            QuotaExceededError: the workspace has no room for it.
            StorageFullError: the disk has none.
            StorageUnavailableError: the store does not answer.
            TypeNotAllowedError: it is of a type that is not taken, or that its recipe cannot read.
            EmptyFileError: it has no bytes.
            UploadCutError: its sender was silent for so long that it was given up.
            IdempotencyInFlightError: another request with the key has not ended.
            IdempotencyMismatchError: the key belongs to another file or recipe.
        """
        self.intake.require_space()
        key = fresh_key("blobs")
        upload = await self._start(principal, sending, key)
        if upload is None:
            return await self._earlier(principal, sending), True
        is_stored = False
        try:
            lease = _Lease(self.intake, upload, upload.reserved_bytes)
            pieces = lease.kept(sending.pieces)
            source = Measured(
                pieces, lambda head: _check(self.intake, head, sending.new), lease.grown
            )
            blob = await self.intake.put(key, source)
            is_stored = True
            new = await sending.settle()
            media_type = self.intake.require_type(source.head, new)  # its recipe may come last
            is_stored = False  # from here on a row may know the bytes, whatever we hear of it
            async with self.intake.db.begin() as tx:
                spare = await self.intake.register(tx, principal, upload.id, new, blob, media_type)
                await self._finish(tx, lease, blob.sha256, _manner(new))
        except BaseException:
            await asyncio.shield(self._abandon(principal, upload, key if is_stored else None))
            raise
        await self.intake.discard(spare)
        return upload.id, False

    async def _start(self, principal: Principal, sending: Sending, key: str) -> Upload | None:
        if sending.most_bytes is not None:
            self.intake.require_size(sending.most_bytes - sending.other_bytes)
        wanted = _STEP if sending.most_bytes is None else sending.most_bytes
        reserved = min(wanted, self.intake.settings.max_bytes)
        async with self.intake.db.begin() as tx:
            if sending.key is not None:
                freed = await store.forget_dead(tx, principal, sending.key)
                await blob_store.release(tx, principal.workspace_id, freed)
            upload = await store.start(
                tx, principal, FileId(ids.fresh()), UploadKind.SINGLE, sending.new,
                key=sending.key, reserved_bytes=reserved, lease_s=_LEASE_S, hours=_HOURS,
                stored_as=key,
            )  # fmt: skip
            if upload is not None:
                await self.intake.reserve(tx, principal.workspace_id, reserved)
        return upload

    async def _finish(self, tx: Tx, lease: "_Lease", digest: bytes, manner: str) -> None:
        """Write that the upload has become a file.

        Raises:
            UploadCutError: it was given up, and its key may be another's by now.
        """
        if not await store.end_single(tx, lease.upload, digest, manner):
            raise UploadCutError
        await blob_store.release(tx, lease.upload.workspace_id, lease.reserved_bytes)

    async def _abandon(self, principal: Principal, upload: Upload, key: str | None) -> None:
        async with self.intake.db.begin() as tx:
            reserved = await store.abandon(tx, principal.workspace_id, upload.id)
            await blob_store.release(tx, principal.workspace_id, reserved)
        await self.intake.discard(key)

    async def _earlier(self, principal: Principal, sending: Sending) -> FileId:
        """The file of the first request with this key, if this one is the same.

        Raises:
            IdempotencyInFlightError: the first request has not ended.
            IdempotencyMismatchError: it was another file or recipe.
        """
        async with self.intake.db.read() as connection:
            found = await store.earlier(connection, principal, sending.key or "")
        if found is None or not found.is_done:
            raise IdempotencyInFlightError(retry_after_s=1)
        digest = await digest_of(sending.pieces)
        if digest != found.digest or _manner(await sending.settle()) != found.manner:
            raise IdempotencyMismatchError
        return found.id


def _check(intake: Intake, head: bytes, new: NewFile) -> None:
    intake.require_type(head, new)


def _manner(new: NewFile) -> str:
    """All but the bytes, in one text: a key stands for one manner and one content."""
    steps = None if new.recipe is None else [step.as_json() for step in new.recipe.steps]
    said = [new.name, new.declared_type, steps, new.expires_in_s]
    return json.dumps(said, sort_keys=True, default=dict)


@dataclass(slots=True)
class _Lease:
    """Keeps room and life of an upload while its bytes come."""

    intake: Intake
    upload: Upload
    reserved_bytes: int
    _beaten_at: float = 0.0

    async def kept(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Give the same pieces, and stay alive while they come, however slowly.

        Raises:
            UploadCutError: it was given up.
        """
        async for piece in pieces:
            if asyncio.get_running_loop().time() - self._beaten_at >= _BEAT_S:
                async with self.intake.db.begin() as tx:
                    await self._beat(tx)
            yield piece

    async def grown(self, size_bytes: int) -> None:
        """See to it that so many bytes in all may come.

        Raises:
            FileTooLargeError: a file may not have so many.
            QuotaExceededError: the workspace has no room for them.
            UploadCutError: it was given up.
        """
        self.intake.require_size(size_bytes)
        if size_bytes <= self.reserved_bytes:
            return
        more = max(_STEP, size_bytes - self.reserved_bytes)
        async with self.intake.db.begin() as tx:
            await self._beat(tx)
            await self.intake.reserve(tx, self.upload.workspace_id, more)
            await store.grow(tx, self.upload.id, more)
        self.reserved_bytes += more

    async def _beat(self, tx: Tx) -> None:
        """Hold on for longer.

        Raises:
            UploadCutError: it was given up.
        """
        self._beaten_at = asyncio.get_running_loop().time()
        if not await store.hold(tx, self.upload, _LEASE_S):
            raise UploadCutError


def whole(new: NewFile) -> Callable[[], Awaitable[NewFile]]:
    """For `Sending.settle` where all is said beforehand."""

    async def settle() -> NewFile:
        return new

    return settle
