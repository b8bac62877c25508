"""The bytes of one request to a resumable upload: cut into parts, each stored, then counted."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from posthouse.files.errors import (
    ChecksumError,
    FileTooLargeError,
    QuotaExceededError,
    UploadCutError,
    UploadLockedError,
)
from posthouse.files.intake import Intake
from posthouse.files.model import Part, Upload, UploadKind
from posthouse.files.sniffing import ENOUGH
from posthouse.files.store import uploads as store
from posthouse.kernel.blobs import fresh_key

PART_BYTES = 16 * 1024 * 1024
LEASE_S = 3.0  # a connection that brings nothing for so long may be thrown out
_BEAT_S = 1.0
ALGORITHMS: Mapping[str, Any] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "md5": hashlib.md5,
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must digest to."""

    algorithm: str
    digest: bytes


@dataclass(slots=True)
class Beat:
    """Keeps a lease while bytes flow, once a second."""

    intake: Intake
    held: Upload
    _at: float = 0.0

    async def __call__(self) -> None:
        """Hold on.

        Raises:
            UploadLockedError: another request has taken over.
        """
        now = asyncio.get_running_loop().time()
        if now - self._at < _BEAT_S:
            return
        self._at = now
        async with self.intake.db.begin() as tx:
            if not await store.hold(tx, self.held, LEASE_S):
                raise UploadLockedError(retry_after_s=LEASE_S)


@dataclass(slots=True)
class Appending:
    """Adds the bytes of one request to an upload that is held."""

    intake: Intake
    held: Upload
    pieces: AsyncIterator[bytes]
    checksum: Checksum | None
    _beat: Beat = field(init=False)
    _at: int = field(init=False)
    _told: Any = None
    _began: float = 0.0
    _rest: bytes = b""
    _is_over: bool = False
    _cut: UploadCutError | None = None

    def __post_init__(self) -> None:
        self._beat = Beat(self.intake, self.held)
        self._at = self.held.offset_bytes

    async def run(self) -> Upload:
        """Store the bytes and count them; what came before a cut counts too.

        Raises:
            UploadCutError: the sender went away; with a checksum nothing of it was kept.
            ChecksumError: the bytes are not those that were sent; none was kept.
            FileTooLargeError: there are more than were announced, or than a file may have.
            UploadLockedError: another request has taken over.
        """
        if self.checksum is None:
            async for part in self._parts():
                await self._count([part])
        else:
            await self._count_verified(self.checksum)
        if self._cut is not None:
            raise self._cut
        return self.held

    async def _count_verified(self, checksum: Checksum) -> None:
        """Count all bytes at once, if they are those that were sent.

        Raises:
            ChecksumError: they are not.
        """
        self._told = ALGORITHMS[checksum.algorithm](usedforsecurity=False)
        waiting: list[Part] = []
        try:
            async for part in self._parts():
                waiting.append(part)  # noqa: PERF401  they are needed if this fails
            if self._cut is None:
                self._require(checksum)
        except BaseException:
            await self.intake.discard(*(part.key for part in waiting))
            raise
        if self._cut is not None:
            await self.intake.discard(*(part.key for part in waiting))
        elif waiting:
            await self._count(waiting)

    def _require(self, checksum: Checksum) -> None:
        if not hmac.compare_digest(self._told.digest(), checksum.digest):
            raise ChecksumError

    async def _parts(self) -> AsyncGenerator[Part]:
        """Store the bytes part by part."""
        while first := await self._next(PART_BYTES):
            self._rest = first + self._rest
            key, begun_at = fresh_key("parts"), self._at
            await self.intake.blobs.write(key, self._flow(begun_at))
            yield Part(begun_at, self._at - begun_at, key)

    async def _flow(self, begun_at: int) -> AsyncGenerator[bytes]:
        while piece := await self._next(PART_BYTES - (self._at - begun_at)):
            self._look(piece)
            if self._told is not None:
                self._require_time()
                self._told.update(piece)
            self._at += len(piece)
            await self._beat()
            yield piece

    def _require_time(self) -> None:
        """Refuse to go on for so long that parts which no row knows yet are taken for orphans.

        Raises:
            UploadCutError: it has been going on for too long.
        """
        self._began = self._began or time.monotonic()
        if time.monotonic() - self._began > self.intake.settings.orphan_s / 2:
            raise UploadCutError("With a checksum, send smaller pieces.")

    def _look(self, piece: bytes) -> None:
        """Refuse what is too much, and what is seen at once not to be taken.

        Raises:
            FileTooLargeError: there are more bytes than were announced.
            TypeNotAllowedError: it is of a type that is not taken.
        """
        held, end = self.held, self._at + len(piece)
        if self._at == 0 and len(piece) >= ENOUGH and held.kind is UploadKind.TUS:
            self.intake.require_type(piece[:ENOUGH], held.new)
        if held.length_bytes is not None and end > held.length_bytes:
            raise FileTooLargeError(f"Upload-Length is {held.length_bytes}; there are more bytes.")
        self.intake.require_size(end)

    async def _next(self, most: int) -> bytes:
        """The next bytes, at most so many; none when they are over or were cut off."""
        while most and not self._rest and not self._is_over:
            try:
                self._rest = await self.pieces.__anext__()
            except StopAsyncIteration:
                self._is_over = True
            except UploadCutError as error:
                self._is_over, self._cut = True, error
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    async def _count(self, parts: list[Part]) -> None:
        """Count parts that are stored.

        Raises:
            QuotaExceededError: the workspace has no room for them.
            UploadLockedError: another request has taken over; they do not count.
        """
        try:
            self.held = await self._counted(parts)
        except (QuotaExceededError, UploadLockedError):
            # After any other error the rows may be there all the same; a sweep knows.
            await self.intake.discard(*(part.key for part in parts))
            raise

    async def _counted(self, parts: list[Part]) -> Upload:
        held, size = self.held, sum(part.size_bytes for part in parts)
        missing = max(0, held.offset_bytes + size - held.reserved_bytes)
        async with self.intake.db.begin() as tx:
            if missing:
                await self.intake.reserve(tx, held.workspace_id, missing)
                await store.grow(tx, held.id, missing)
            if not await store.add_parts(tx, held, held.offset_bytes, parts):
                raise UploadLockedError(retry_after_s=LEASE_S)
        return replace(
            held,
            offset_bytes=held.offset_bytes + size,
            reserved_bytes=held.reserved_bytes + missing,
        )
