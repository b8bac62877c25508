"""The font of tables: which characters it has, how wide they are, and where lines break."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posthouse.files.processors.document_template import FONTS

NORMAL, BOLD = "Table", "Table-Bold"
MISSING = "□"
_FILES = {NORMAL: "DejaVuSansCondensed.ttf", BOLD: "DejaVuSansCondensed-Bold.ttf"}


@dataclass(slots=True)
class Lettering:
    """A font in one size. It counts the characters that it has not and shows as a box."""

    name: str
    size: float
    missing: int = 0
    _widths: Mapping[int, float] = field(default_factory=dict[int, float])
    _known: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        face = _registered(self.name).face
        self._widths = {code: width * self.size / 1000 for code, width in face.charWidths.items()}
        # What is not printed would be drawn as a box, which says "missing".
        self._known = frozenset(map(chr, face.charToGlyph)) - frozenset(map(chr, range(32)))

    def clean(self, text: str) -> str:
        """The text with a box for each character that the font has not; lines stay."""
        strange = set(text) - self._known
        if not strange:
            return text
        kept: list[str] = []
        for character in text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4):
            if character == "\n" or character in self._known:
                kept.append(character)
            elif not _is_invisible(character):
                kept.append(MISSING)
                self.missing += 1
        return "".join(kept)

    def width(self, text: str) -> float:
        """How wide the text is, in points."""
        widths = self._widths
        return sum(map(widths.__getitem__, map(ord, text)))

    def wrapped(self, text: str, room: float) -> list[tuple[str, float]]:
        """Lines that are at most `room` wide, with the width of each; words break if they must."""
        if "\n" not in text:
            width = self.width(text)
            if width <= room:
                return [(text, width)]
        lines: list[tuple[str, float]] = []
        for paragraph in text.split("\n"):
            lines.extend(self._filled(paragraph, room))
        return lines

    def _filled(self, paragraph: str, room: float) -> list[tuple[str, float]]:
        lines: list[tuple[str, float]] = []
        line, used = "", 0.0
        space = self._widths[32]
        for word in paragraph.split(" "):
            width = self.width(word)
            if line and used + space + width <= room:
                line, used = f"{line} {word}", used + space + width
                continue
            if line:
                lines.append((line, used))
            *full, (line, used) = self._broken(word, width, room)
            lines.extend(full)
        return [*lines, (line, used)]

    def _broken(self, word: str, width: float, room: float) -> list[tuple[str, float]]:
        if width <= room:
            return [(word, width)]
        pieces: list[tuple[str, float]] = []
        start, used = 0, 0.0
        for at, character in enumerate(word):
            wide = self._widths[ord(character)]
            if at > start and used + wide > room:
                pieces.append((word[start:at], used))
                start, used = at, 0.0
            used += wide
        return [*pieces, (word[start:], used)]


def _is_invisible(character: str) -> bool:
    """Controls, and the marks that only steer how text is laid out."""
    return (
        character < " " or "\x7f" <= character < "\xa0" or character in "\u200b\u200e\u200f\ufeff"
    )


def _registered(name: str) -> Any:
    from reportlab.pdfbase import (  # pyright: ignore[reportMissingTypeStubs]
        pdfmetrics,
        ttfonts,
    )

    metrics: Any = pdfmetrics
    if name not in metrics.getRegisteredFontNames():
        kind: Any = ttfonts.TTFont
        metrics.registerFont(kind(name, str(FONTS / _FILES[name])))
    return metrics.getFont(name)
