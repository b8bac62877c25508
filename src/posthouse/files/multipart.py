"""Reads a multipart form as it comes: part by part, each in pieces, nothing on disk or whole.

The parsing is python-multipart's; this turns its callbacks around, so that a reader asks for the
next part and for its bytes.
Source: RFC 7578 (multipart/form-data).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from posthouse.files.errors import MultipartError

MAX_FIELD = 262_144
_MAX_HEADERS, _MAX_HEADER = 8, 4096
_MAX_PARTS = 20


@dataclass(slots=True)
class Part:
    """One part of a form; a file if it has a `filename`. Its pieces are read once, in order."""

    name: str
    filename: str | None
    media_type: str
    pieces: AsyncIterator[bytes]

    async def text(self) -> str:
        """Read a field whole.

        Raises:
            MultipartError: it is longer than a field may be, or not UTF-8.
        """
        held = bytearray()
        async for piece in self.pieces:
            held += piece
            if len(held) > MAX_FIELD:
                raise MultipartError(f"The field {self.name} has more than {MAX_FIELD} bytes.")
        try:
            return held.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MultipartError(f"The field {self.name} is not UTF-8.") from error


@dataclass(slots=True)
class _Heard:
    """What the parser has told and nobody has read yet."""

    parts: int = 0
    events: list[Part | bytes | None] = field(default_factory=list[Part | bytes | None])
    has_ended: bool = False
    _headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)

    def on_part_begin(self) -> None:
        self.parts += 1
        if self.parts > _MAX_PARTS:
            raise MultipartError(f"A form may have {_MAX_PARTS} parts.")
        self._headers.clear()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._name, data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._value, data[start:end])

    @staticmethod
    def _grow(held: bytearray, data: bytes) -> None:
        held += data
        if len(held) > _MAX_HEADER:
            raise MultipartError("The header of a part is too long.")

    def on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()
        if len(self._headers) > _MAX_HEADERS:
            raise MultipartError("A part has too many headers.")

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise MultipartError("A part has no name.")
        filename = options.get(b"filename")
        self.events.append(
            Part(
                name=options[b"name"].decode("utf-8", "replace"),
                filename=None if filename is None else filename.decode("utf-8", "replace"),
                media_type=self._headers.get(b"content-type", b"").decode("latin-1"),
                pieces=_nothing(),
            )
        )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(data[start:end])

    def on_part_end(self) -> None:
        self.events.append(None)

    def on_end(self) -> None:
        self.has_ended = True


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield b""


@dataclass(slots=True)
class Form:
    """A form under way; made by `read_form`."""

    body: AsyncIterator[bytes]
    parser: MultipartParser
    heard: _Heard

    async def parts(self) -> AsyncGenerator[Part]:
        """Give the parts; what nobody reads of one is passed over.

        Raises:
            MultipartError: it is not a form, or ends before its end.
        """
        while (event := await self._next()) is not None:
            if isinstance(event, Part):
                event.pieces = self._pieces()
                yield event
                async for _ in event.pieces:
                    pass

    async def _pieces(self) -> AsyncGenerator[bytes]:
        while isinstance(event := await self._next(), bytes):
            yield event

    async def _next(self) -> Part | bytes | None:
        """The next event; None at the end of a part, or of the form.

        Raises:
            MultipartError: it is not a form, or ends before its end.
        """
        while not self.heard.events:
            if self.heard.has_ended:
                return None
            try:
                piece = await self.body.__anext__()
            except StopAsyncIteration as end:
                raise MultipartError("The form ends before its last boundary.") from end
            try:
                self.parser.write(piece)
            except FormParserError as error:
                raise MultipartError("The body does not follow its boundary.") from error
        return self.heard.events.pop(0)


def read_form(content_type: str, body: AsyncIterator[bytes]) -> Form:
    """Begin to read a form.

    Raises:
        MultipartError: the content type has no boundary that can be used.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MultipartError("Send multipart/form-data with a boundary.")
    heard = _Heard()
    names = (
        "on_part_begin", "on_header_field", "on_header_value", "on_header_end",
        "on_headers_finished", "on_part_data", "on_part_end", "on_end",
    )  # fmt: skip
    callbacks = {name: getattr(heard, name) for name in names}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
    except FormParserError as error:
        raise MultipartError("The boundary cannot be used.") from error
    return Form(body, parser, heard)
