"""A store of objects that fails at random bytes, by a seed; what it has stored it keeps."""

import random  # noqa: TID251  a seeded choice, no secret
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from posthouse.kernel.blobs import Blobs, StorageUnavailableError, Stored
from posthouse.kernel.errors import PosthouseError, StorageFullError

_FARTHEST = 2_000_000


@dataclass(slots=True)
class FlakyBlobs:
    """Passes on to `inner`, but a `share` of the calls fails: before, midway, or just after."""

    inner: Blobs
    dice: random.Random
    share: float
    failed: Counter[str] = field(default_factory=Counter[str])

    def _fails(self, what: str) -> bool:
        fails = self.dice.random() < self.share
        self.failed[what] += fails
        return fails

    def _error(self) -> PosthouseError:
        return self.dice.choice([StorageUnavailableError(), StorageFullError()])

    async def _until(self, pieces: AsyncIterator[bytes], room: int) -> AsyncGenerator[bytes]:
        async for piece in pieces:
            room -= len(piece)
            if room < 0:
                yield piece[: room + len(piece)]
                raise self._error()
            yield piece

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        if self._fails("write midway"):
            room = self.dice.randrange(_FARTHEST)
            await self.inner.write(key, self._until(pieces, room))
            raise self._error()
        await self.inner.write(key, pieces)
        if self._fails("write after its end"):
            raise StorageUnavailableError

    async def read(
        self, key: str, start: int = 0, size: int | None = None
    ) -> AsyncGenerator[bytes]:
        pieces = self.inner.read(key, start, size)
        if self._fails("read"):
            pieces = self._until(pieces, self.dice.randrange(_FARTHEST))
        async for piece in pieces:
            yield piece

    async def fetch(self, key: str, path: Path, *, may_share: bool) -> None:
        if self._fails("fetch"):
            raise StorageUnavailableError
        await self.inner.fetch(key, path, may_share=may_share)

    async def delete(self, keys: Sequence[str]) -> None:
        if self._fails("delete"):
            await self.inner.delete(keys[: len(keys) // 2])
            raise StorageUnavailableError
        await self.inner.delete(keys)

    def walk(self, prefix: str) -> AsyncIterator[Stored]:
        return self.inner.walk(prefix)

    async def tidy(self, older_than: timedelta) -> int:
        return await self.inner.tidy(older_than)

    def free_share(self) -> float:
        return self.inner.free_share()
