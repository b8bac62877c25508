"""Which encoding a text table has: a byte order mark, a pattern of zeros, or what decodes."""

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EncodingName = Literal[
    "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252", "latin-1"
]
BLOCK = 1024 * 1024
_MARKS: tuple[tuple[bytes, EncodingName], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_REPLACEMENT = "\ufffd".encode()
_NOT_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"
# Below one broken byte in ten, rows are broken; above, it is another encoding.
_BROKEN_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, how sure we are of it (0 to 1), and the length of its mark."""

    name: EncodingName
    confidence: float
    mark_bytes: int = 0

    @property
    def is_wide(self) -> bool:
        """Whether a character takes two or four bytes, so that line ends are not single bytes."""
        return self.name.startswith(("utf-16", "utf-32"))


def detect(head: bytes, given: EncodingName | None = None) -> Encoding:
    """Tell the encoding of a file that begins with `head`; `given` overrules all but a mark."""
    for mark, name in _MARKS:
        if head.startswith(mark) and given in {None, name}:
            return Encoding(name, 1.0, len(mark))
    if given is not None:
        return Encoding(given, 1.0)
    wide = _wide(head[:4096])
    if wide is not None:
        return wide
    return _Tally().add(head).verdict()


def examine(path: Path) -> Encoding:
    """Tell the encoding of a whole file without a mark, whose bytes are not all UTF-8."""
    tally = _Tally()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            tally.add(block)
    return tally.verdict()


def _wide(head: bytes) -> Encoding | None:
    """UTF-16 without a mark: nearly all of every second byte is zero, and none of the others."""
    if len(head) < 4:
        return None
    even, odd = head[::2].count(0) / len(head[::2]), head[1::2].count(0) / len(head[1::2])
    if odd > 0.7 and even < 0.1:
        return Encoding("utf-16-le", 0.9)
    if even > 0.7 and odd < 0.1:
        return Encoding("utf-16-be", 0.9)
    return None


class _Tally:
    """How much of a text is sound UTF-8 beyond ASCII, and how much is not."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sound = 0
        self._broken = 0
        self._is_cp1252 = True

    def add(self, block: bytes) -> "_Tally":
        """Count a further block."""
        if block.isascii() and not self._decoder.getstate()[0]:
            return self
        text = self._decoder.decode(block)
        # One that is in the file itself is sound; two that a block divides do not matter.
        self._broken += max(0, text.count("\ufffd") - block.count(_REPLACEMENT))
        self._sound += max(0, len(block) - len(text))
        self._is_cp1252 = self._is_cp1252 and not any(code in block for code in _NOT_IN_CP1252)
        return self

    def verdict(self) -> Encoding:
        """Name the encoding that fits what was counted."""
        if not self._broken:
            return Encoding("utf-8", 0.99)
        share = self._broken / (self._broken + self._sound)
        if share <= _BROKEN_SHARE:
            return Encoding("utf-8", round(1 - share, 3))
        return Encoding("cp1252", 0.7) if self._is_cp1252 else Encoding("latin-1", 0.5)
