"""Our own count of the records of a delimited file, at the pace of memory.

It looks only at quotes and line ends, a block at a time, and knows nothing of the engine whose
work it checks.
"""

import mmap
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.files.processors.protocol import UnsafeInputError
from posthouse.files.processors.table_encoding import BLOCK
from posthouse.files.processors.table_records import MAX_LINE, too_long

_WINDOW = 64 * BLOCK


@dataclass(slots=True)
class Counted:
    """What a file holds: `lines` are those outside of quotes, blank ones among them.

    `marks` are bytes of the file with the number of line ends between `start` and them.
    A file is plain if all its lines end alike, with LF or CR LF, and hold no NUL.
    """

    lines: int = 0
    quoted_line_ends: int = 0
    is_plain: bool = True
    ends_in_quotes: bool = False
    marks: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


def count(path: Path, start: int, quote: str, line_end: str) -> Counted:
    """Count the records after the byte `start`; stops early at what is not plain.

    Raises:
        UnsafeInputError: a line is longer than 1 MiB.
    """
    return _Count(quote.encode(), line_end == "\r\n").over(path, start)


def has_long_line(path: Path, length: int) -> bool:
    """Tell whether a line may be longer than `length`; one twice as long is always found.

    It asks each stretch of the file for its last LF, so it reads hardly any of it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in range(0, size, _WINDOW):
            window = min(_WINDOW, size - start)
            with mmap.mmap(file.fileno(), window, access=mmap.ACCESS_READ, offset=start) as view:
                for at in range(0, window - length, length):
                    if view.rfind(b"\n", at, at + length) < 0:
                        return True
    return False


def count_blank_lines(path: Path, start: int, line_end: str) -> int:
    """Count the blank lines after `start` in a file without line ends in quotes."""
    blank = line_end.encode()
    found = 0
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK) + file.readline(MAX_LINE):
            found += block.splitlines(keepends=True).count(blank)
    return found


class _Count:
    def __init__(self, quote: bytes, has_cr: bool) -> None:
        self._quote = quote
        self._has_cr = has_cr
        kept = quote + b"\n"
        self._dropped = bytes(code for code in range(256) if code not in kept)
        self._counted = Counted()
        self._inside = False
        self._line_began = 0

    def over(self, path: Path, start: int) -> Counted:
        at, last = start, b"\n"
        self._line_began = start
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(BLOCK):
                if block.endswith(b"\r"):
                    block += file.read(1)
                self._measure(block, at)
                if not self._is_plain(block):
                    self._counted.is_plain = False
                    return self._counted
                self._counted.marks.append((at, self._line_ends))
                self._add(block)
                at += len(block)
                last = block[-1:]
        if last != b"\n":
            self._counted.lines += not self._inside
        self._counted.ends_in_quotes = self._inside
        return self._counted

    @property
    def _line_ends(self) -> int:
        return self._counted.lines + self._counted.quoted_line_ends

    def _measure(self, block: bytes, at: int) -> None:
        """Refuse a line that is longer than a block; shorter ones end where blocks do.

        Raises:
            UnsafeInputError: it is too long.
        """
        first = block.find(b"\n")
        end = at + (first if first >= 0 else len(block))
        if end - self._line_began > MAX_LINE and (self._has_cr or b"\r" not in block):
            raise UnsafeInputError(too_long(self._line_ends + 1))
        if first >= 0:
            self._line_began = at + block.rfind(b"\n") + 1

    def _is_plain(self, block: bytes) -> bool:
        if b"\0" in block:
            return False
        if not self._has_cr:
            return b"\r" not in block
        pairs = block.count(b"\r\n")
        return pairs == block.count(b"\r") == block.count(b"\n")

    def _add(self, block: bytes) -> None:
        if not self._quote or (not self._inside and self._quote not in block):
            self._counted.lines += block.count(b"\n")
            return
        # Two quotes of one line cancel out; what is left opens or closes across lines.
        rest = block.translate(None, self._dropped).replace(self._quote * 2, b"")
        parts = rest.split(self._quote)
        outside = parts[1::2] if self._inside else parts[::2]
        lines = sum(map(len, outside))
        self._counted.lines += lines
        self._counted.quoted_line_ends += sum(map(len, parts)) - lines
        if len(parts) % 2 == 0:
            self._inside = not self._inside
