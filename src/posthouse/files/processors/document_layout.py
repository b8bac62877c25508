"""Draws a table page by page: a row is laid out, drawn and forgotten."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from posthouse.files.processors.document_fonts import BOLD, NORMAL, Lettering
from posthouse.files.processors.protocol import BadInputError

Align = Literal["left", "right", "center"]
PAPERS = {"a4": (595.28, 841.89), "letter": (612.0, 792.0)}
_MARGIN, _FOOT, _PADDING, _TITLE_SIZE, _FOOT_SIZE = 36.0, 20.0, 3.0, 14.0, 7.0
_MIN_WIDTH = 16.0
_LEADING = 1.3
_MANY, _VERY_MANY, _UPRIGHT_COLUMNS = 12, 20, 6
_SAMPLE = 1000
_INK, _SOFT, _RULE = (0.12, 0.16, 0.2), (0.32, 0.38, 0.43), (0.8, 0.82, 0.85)
_TINT, _ACCENT = (0.955, 0.965, 0.975), (0.12, 0.31, 0.47)
_NUMBER = re.compile(r"[-+\u2212]?(?:0|[1-9][\d.,'\u00a0\u202f ]*|0?[.,]\d+)\s?%?")


@dataclass(slots=True)
class Column:
    """A column: what stands in its head, where its cells stand, and its width in points."""

    title: str
    align: Align | None = None
    width: float | None = None
    natural: float = 0.0
    is_number: bool = True


@dataclass(slots=True)
class Survey:
    """What all rows together say about widths and alignment."""

    columns: Sequence[Column]
    letters: Lettering
    rows: int = 0

    def see(self, cells: Sequence[str]) -> None:
        """Take one row into account."""
        self.rows += 1
        for column, cell in zip(self.columns, cells, strict=True):
            if column.is_number and cell and not _NUMBER.fullmatch(cell):
                column.is_number = False
            if self.rows <= _SAMPLE and len(cell) > 0:
                lines = self.letters.clean(cell[:200]).split("\n")
                column.natural = max(column.natural, *map(self.letters.width, lines))

    def settle(self, available: float) -> None:
        """Give each column its width and alignment.

        Raises:
            BadInputError: the widths that were asked for are more than the page has.
        """
        heads = Lettering(BOLD, self.letters.size)
        for column in self.columns:
            column.title = heads.clean(column.title)
            words = column.title.split() or [""]
            column.natural = 2 * _PADDING + max(column.natural, *map(heads.width, words))
            column.align = column.align or ("right" if column.is_number and self.rows else "left")
        self.letters.missing = heads.missing  # cells are counted when they are drawn
        fixed = sum(column.width for column in self.columns if column.width is not None)
        free = [column for column in self.columns if column.width is None]
        if fixed + _MIN_WIDTH * len(free) > available + 0.01:
            raise BadInputError(
                f"The columns' widths make {fixed / 72 * 25.4:.0f} mm; "
                f"the page has {available / 72 * 25.4:.0f} mm."
            )
        _share(free, available - fixed)


def _share(columns: Sequence[Column], room: float) -> None:
    """Narrow columns get what they need; the wide ones share what is left."""
    waiting = sorted(columns, key=lambda column: column.natural)
    while waiting:
        column, *waiting = waiting
        fair = room / (len(waiting) + 1)
        column.width = max(_MIN_WIDTH, min(column.natural, fair))
        room -= column.width
    if room > 0 and columns:
        total = sum(column.natural for column in columns)
        for column in columns:
            column.width = (column.width or 0) + room * column.natural / total


@dataclass(slots=True)
class Sheet:
    """A PDF that grows row by row. `survey` first, then `begin`, `draw` each row and `finish`."""

    path: Path
    columns: Sequence[Column]
    title: str = ""
    paper: str = "a4"
    cut_cells: int = 0
    page: int = 0
    survey: Survey = field(init=False)
    _canvas: Any = None
    _letters: Lettering = field(init=False)
    _heads: Lettering = field(init=False)
    _small: Lettering = field(init=False)
    _size: tuple[float, float] = field(init=False)
    _y: float = 0.0
    _drawn: int = 0

    def __post_init__(self) -> None:
        count = len(self.columns)
        size = 8.0 if count <= _MANY else 7.0 if count <= _VERY_MANY else 6.0
        self._letters, self._heads = Lettering(NORMAL, size), Lettering(BOLD, size)
        self._small = Lettering(NORMAL, _FOOT_SIZE)
        across, down = PAPERS[self.paper]
        self._size = (across, down) if count <= _UPRIGHT_COLUMNS else (down, across)
        self.survey = Survey(self.columns, self._letters)

    @property
    def missing(self) -> int:
        """How many characters were shown as boxes."""
        return self._letters.missing

    def begin(self) -> None:
        """Settle the columns and start the first page.

        Raises:
            BadInputError: the columns do not fit.
        """
        from reportlab.pdfgen import canvas  # pyright: ignore[reportMissingTypeStubs]

        self.survey.settle(self._size[0] - 2 * _MARGIN)
        kind: Any = canvas.Canvas
        # Invariant: no date and no random id, so that the same rows make the same bytes.
        self._canvas = kind(str(self.path), pagesize=self._size, pageCompression=1, invariant=1)
        self.title = self._letters.clean(self.title)
        self._canvas.setTitle(self.title or "Table")
        self._canvas.setAuthor("")
        self._canvas.setSubject("")
        self._turn()

    def draw(self, cells: Sequence[str]) -> None:
        """Draw one row, on the next page if it does not fit on this one."""
        laid = [
            self._laid(self._letters, cell, column)
            for cell, column in zip(cells, self.columns, strict=True)
        ]
        height = self._height(laid)
        if self._y - height < _MARGIN + _FOOT:
            self._turn()
        if self._drawn % 2:
            self._canvas.setFillColorRGB(*_TINT)
            self._canvas.rect(
                _MARGIN, self._y - height, self._size[0] - 2 * _MARGIN, height, stroke=0, fill=1
            )
        self._write(laid, self._letters, _INK)
        self._y -= height
        self._rule(0.4, _RULE)
        self._drawn += 1

    def finish(self) -> None:
        """Write the file."""
        self._foot()
        canvas = self._canvas
        # Drawn once, at the end, and shown on every page: "of m".
        canvas.showPage()
        canvas.beginForm("total", 0, 0, 60, 20)
        canvas.setFont(NORMAL, _FOOT_SIZE)
        canvas.setFillColorRGB(*_SOFT)
        canvas.drawString(0, 4, str(self.page))
        canvas.endForm()
        canvas.save()

    def _turn(self) -> None:
        """Start a page with the head of the table."""
        if self.page:
            self._foot()
            self._canvas.showPage()
        self.page += 1
        self._drawn = 0
        self._y = self._size[1] - _MARGIN
        if self.page == 1 and self.title:
            big = Lettering(BOLD, _TITLE_SIZE)
            self._canvas.setFillColorRGB(*_ACCENT)
            self._canvas.setFont(BOLD, _TITLE_SIZE)
            for line, _ in big.wrapped(self.title, self._size[0] - 2 * _MARGIN):
                self._canvas.drawString(_MARGIN, self._y - _TITLE_SIZE, line)
                self._y -= _TITLE_SIZE * _LEADING
            self._y -= 8
        laid = [self._laid(self._heads, column.title, column) for column in self.columns]
        self._write(laid, self._heads, _ACCENT)
        self._y -= self._height(laid)
        self._rule(1.0, _ACCENT)

    def _foot(self) -> None:
        canvas = self._canvas
        canvas.setFont(NORMAL, _FOOT_SIZE)
        canvas.setFillColorRGB(*_SOFT)
        text = f"{self.page} of "
        at = _MARGIN + _PADDING
        canvas.drawString(at, _MARGIN, text)
        canvas.saveState()
        canvas.translate(at + self._small.width(text), _MARGIN - 4)
        canvas.doForm("total")
        canvas.restoreState()

    def _laid(self, letters: Lettering, text: str, column: Column) -> list[tuple[str, float]]:
        """The cell's lines; what no page would hold is cut, visibly."""
        room = (column.width or 0) - 2 * _PADDING
        lines = letters.wrapped(letters.clean(text), room)
        down = self._size[1] - 2 * _MARGIN - _FOOT - 100  # a title and a head of some lines
        most = int(down / (letters.size * _LEADING))
        if len(lines) > most:
            self.cut_cells += 1
            lines = [*lines[: most - 1], ("…", letters.width("…"))]
        return lines

    def _height(self, laid: Sequence[Sequence[tuple[str, float]]]) -> float:
        return max(map(len, laid)) * self._letters.size * _LEADING + _PADDING

    def _write(
        self,
        laid: Sequence[Sequence[tuple[str, float]]],
        letters: Lettering,
        colour: tuple[float, float, float],
    ) -> None:
        text = self._canvas.beginText()
        text.setFont(letters.name, letters.size)
        text.setFillColorRGB(*colour)
        left = _MARGIN
        for lines, column in zip(laid, self.columns, strict=True):
            wide = column.width or 0
            y = self._y - letters.size * 1.05 - _PADDING / 2
            for line, used in lines:
                spare = wide - 2 * _PADDING - used
                shift = {"left": 0.0, "center": spare / 2, "right": spare}[column.align or "left"]
                if line:
                    text.setTextOrigin(left + _PADDING + shift, y)
                    text.textOut(line)
                y -= letters.size * _LEADING
            left += wide
        self._canvas.drawText(text)

    def _rule(self, width: float, colour: tuple[float, float, float]) -> None:
        self._canvas.setStrokeColorRGB(*colour)
        self._canvas.setLineWidth(width)
        self._canvas.line(_MARGIN, self._y, self._size[0] - _MARGIN, self._y)
