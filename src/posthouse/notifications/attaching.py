"""Reads the files of a message when it goes out, and no more of them at a time than fit."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from posthouse.files.public import File, FileId, FilesDoor
from posthouse.kernel.auth import Principal, Role
from posthouse.notifications.model import Attachment, Notification

_MOST_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Attaching:
    """The files that are in memory just now: together at most `most_bytes`, or one message's."""

    files: FilesDoor
    most_bytes: int = _MOST_BYTES
    _held: int = 0
    _freed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def reading(self, notification: Notification) -> AsyncGenerator[tuple[Attachment, ...]]:
        """The files of a notification, as long as the block runs.

        Raises:
            FileUnknownError: one is gone.
            UnavailableError: the storage is away.
        """
        principal = Principal(
            notification.workspace_id, notification.created_by, Role(notification.role)
        )
        opened = [await self.files.read(principal, FileId(one)) for one in notification.attachments]
        size = sum(file.blob.size_bytes for file, _ in opened)
        async with self._freed:
            await self._freed.wait_for(lambda: self._held + size <= max(self.most_bytes, size))
            self._held += size
        try:
            yield tuple([await _read(file, pieces) for file, pieces in opened])
        finally:
            async with self._freed:
                self._held -= size
                self._freed.notify_all()


async def _read(file: File, pieces: AsyncIterator[bytes]) -> Attachment:
    return Attachment(file.name, file.media_type, b"".join([piece async for piece in pieces]))
