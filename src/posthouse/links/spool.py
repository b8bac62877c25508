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
        if self._size + len(batch) + _LENGTH.size > self.limit_bytes:
            return False
        try:
            file = self._file or self._open()
            file.write(_LENGTH.pack(len(batch)) + batch)
            file.flush()
        except OSError:
            return False
        self._size += len(batch) + _LENGTH.size
        return True

    def _open(self) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"clicks-{os.getpid()}-{os.urandom(4).hex()}.spool"
        self._file = path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._file

    @property
    def is_empty(self) -> bool:
        """Whether this process has nothing on disk."""
        return self._file is None

    def close(self) -> None:
        """Let go of this process's file; what is in it stays for whoever takes it."""
        if self._file is not None:
            self._file.close()
            self._file, self._size = None, 0

    def take(self) -> list[Path]:
        """Close this process's file and list all files that nobody writes."""
        self.close()
        if not self.folder.is_dir():
            return []
        return [path for path in sorted(self.folder.glob("clicks-*.spool")) if _is_idle(path)]


def _is_idle(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def read(path: Path) -> Iterator[bytes]:
    """Read the batches of a file; a torn last one was never told to anybody and is left out."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            batch = file.read(length)
            if len(batch) < length:
                return
            yield batch
