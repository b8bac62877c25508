"""A bounded file for click batches while Valkey is away.

Each process writes a file of its own, held by a lock; a file without a holder was left by a
process that died and is replayed by the next one.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_LENGTH = struct.Struct(">I")


@dataclass(slots=True)
class Spool:
    """Batches on disk, in order; all methods block, so call them in a thread."""

    folder: Path
    limit_bytes: int
    _file: BinaryIO | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)

    def add(self, batch: bytes) -> bool:
        """Append a batch; False if there is no room for it."""
        try:
            file = self._file or self._open()
            if self._size + len(batch) + _LENGTH.size > self.limit_bytes:
                return False
            file.write(_LENGTH.pack(len(batch)) + batch)
            file.flush()
        except OSError:
            return False
        self._size += len(batch) + _LENGTH.size
        return True

    def _open(self) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._size = sum(_size_of(path) for path in self._files())
        path = self.folder / f"clicks-{os.getpid()}-{os.urandom(4).hex()}.spool"
        # Locked before it can be seen, or another process takes it for a dead one's.
        unseen = path.with_suffix(".new")
        self._file = unseen.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        unseen.rename(path)
        return self._file

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on disk, of this process or of any other."""
        return not self._files()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("clicks-*.spool"))

    def close(self) -> None:
        """Let go of this process's file; what is in it stays for whoever takes it."""
        if self._file is not None:
            self._file.close()
            self._file, self._size = None, 0

    def take(self) -> list[Path]:
        """Close this process's file and list all files that nobody writes."""
        self.close()
        return [path for path in self._files() if _is_idle(path)]


def _is_idle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or replayed by another process in the meantime
        return False
    return True


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # replayed by another process in the meantime
        return 0


def read(path: Path) -> Iterator[bytes]:
    """Read the batches of a file; a torn last one was never told to anybody and is left out."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            batch = file.read(length)
            if len(batch) < length:
                return
            yield batch
