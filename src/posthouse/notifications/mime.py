"""Emails as bytes, fast: what is the same for all is written once, and each message fills it.

Sources: RFC 5322 (headers, lines of at most 998), RFC 2045 (quoted-printable, base64), RFC 2046
(multipart), RFC 2047 (encoded words), RFC 2231 (names of files), RFC 6532 (UTF-8 in headers).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from ada_url import idna

from posthouse.notifications.errors import EmailInvalidError
from posthouse.notifications.model import Attachment, EmailContent, Outgoing

MAX_LINE = 998
MAX_HEADER = 8192
_FOLD_AT = 76
_MAX_LOCAL = 64
_MAX_DOMAIN = 253
_MAX_NAME = 500
_MAX_FILENAME = 255
_SHORT_FILENAME = 50
# An encoded word has at most 75 characters, 12 of them around its base64.
_WORD_BYTES = 45
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,190}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,63}/[A-Za-z0-9][\w!#$&^.+-]{0,63}", re.ASCII)
# Dot atoms of RFC 5322, with the letters of RFC 6532; no quoted local parts.
_LOCAL = re.compile(
    r"""[^\s\x00-\x20\x7f()<>\[\]\\,;:@".]+(?:\.[^\s\x00-\x20\x7f()<>\[\]\\,;:@".]+)*"""
)
_DOMAIN = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_PLAIN_FILENAME = re.compile(r"[A-Za-z0-9._()-]+(?: [A-Za-z0-9._()-]+)*")
_BREAKS = re.compile("[\r\n\x00]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_PLAIN_BYTES = bytes([9, 10, 13, *range(32, 127)])
# What this module writes, and what only servers or other agents write.
_OURS = frozenset(
    {
        "from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id",
        "mime-version", "return-path", "received", "dkim-signature",
    }
)  # fmt: skip
# Their values are parsed by programs, so nothing in them is ever written as an encoded word.
_PARSED = ("list-", "references", "in-reply-to", "auto-submitted", "precedence", "feedback-id")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An email address, its domain as it goes over the wire, with the name to show."""

    local: str
    domain: str
    name: str = ""

    @classmethod
    def of(cls, address: str, name: str = "") -> "Mailbox":
        """Read an address.

        Raises:
            EmailInvalidError: it is not one.
        """
        local, _, domain = address.rpartition("@")
        if not _LOCAL.fullmatch(local) or len(local.encode("utf-8", "replace")) > _MAX_LOCAL:
            raise EmailInvalidError("to.email", "This is not an email address.")
        if not domain.isascii():
            domain = _ascii_domain(domain)
        if not _DOMAIN.fullmatch(domain) or len(domain) > _MAX_DOMAIN:
            raise EmailInvalidError("to.email", "This is not an email address.")
        _refuse_surrogates("to.email", local)
        return cls(local, domain, name)

    @property
    def address(self) -> str:
        """The address as it goes over the wire."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take it (RFC 6531)."""
        return not self.local.isascii()


def _ascii_domain(domain: str) -> str:
    try:
        return idna.encode(domain).decode("ascii")
    except (UnicodeError, ValueError):
        return ""


def _refuse_surrogates(field_name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EmailInvalidError(field_name, "It holds half a character.") from error


def header(name: str, value: str) -> bytes:
    """Write one header with its CRLF: the only way in which a value gets into an email.

    Raises:
        EmailInvalidError: it would end the line, or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise EmailInvalidError("headers", "This is not the name of a header.")
    if _BREAKS.search(value) or len(value) > MAX_HEADER:
        raise EmailInvalidError(name.lower(), f"{name} has a line break or is too long.")
    is_parsed = name.lower().startswith(_PARSED)
    is_plain = value.isascii() and not _CONTROL.search(value) and value == value.strip()
    if is_plain and (is_parsed or "=?" not in value):
        line = _folded(name, value)
        if line is not None:
            return line
    if is_parsed:
        raise EmailInvalidError(name.lower(), f"{name} must be in ASCII, in short words.")
    return f"{name}: ".encode() + _encoded(value, len(name) + 2) + b"\r\n"


def _folded(name: str, value: str) -> bytes | None:
    """Break a plain value at its blanks; None if a word of it is too long for a line.

    A blank is broken at only if one stands alone, so that no line is blank.
    """
    if len(name) + 2 + len(value) <= _FOLD_AT:
        return f"{name}: {value}\r\n".encode("ascii")
    lines: list[str] = []
    line = f"{name}:"
    for word in re.split(r" (?=[^ ])", value):
        if len(line) + 1 + len(word) > _FOLD_AT and len(line) > len(name) + 1 and line.strip():
            lines.append(line)
            line = ""
        line += " " + word
    lines.append(line)
    if any(len(one) > MAX_LINE or not one.strip() for one in lines):
        return None
    return "\r\n".join([*lines, ""]).encode("ascii")


def _encoded(value: str, begin: int) -> bytes:
    """Write encoded words, none of which splits a character."""
    _refuse_surrogates("headers", value)
    words: list[bytes] = []
    piece = b""
    room = min(_WORD_BYTES, max(3, (_FOLD_AT - begin - 12) // 4 * 3))
    for character in value:
        encoded = character.encode()
        if len(piece) + len(encoded) > room and piece:
            words.append(piece)
            piece, room = b"", _WORD_BYTES
        piece += encoded
    words.append(piece)
    return b"\r\n ".join(b"=?utf-8?b?" + base64.b64encode(word) + b"?=" for word in words)


def mailbox_header(name: str, mailbox: Mailbox) -> bytes:
    """Write a header that holds one address, with the name to show if there is one.

    Raises:
        EmailInvalidError: the name would end the line.
    """
    shown = mailbox.name.strip()
    if _BREAKS.search(shown) or len(shown) > _MAX_NAME:
        raise EmailInvalidError(name.lower(), "The name has a line break or is too long.")
    if not shown:
        return f"{name}: {mailbox.address}\r\n".encode()
    angled = f"<{mailbox.address}>".encode()
    is_short = len(name) + len(shown) <= _FOLD_AT - 8
    if is_short and shown.isascii() and not _CONTROL.search(shown) and "=?" not in shown:
        phrase = shown if _PLAIN_PHRASE.fullmatch(shown) and "  " not in shown else _quoted(shown)
        start = f"{name}: {phrase}".encode("ascii")
    else:
        start = f"{name}: ".encode() + _encoded(shown, len(name) + 2)
    last = len(start) - (start.rfind(b"\n") + 1)
    between = b" " if last + 1 + len(angled) <= _FOLD_AT else b"\r\n "
    return start + between + angled + b"\r\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def normalised(text: str) -> bytes:
    """The lines of a body as they go over the wire: each ends in CRLF.

    Raises:
        EmailInvalidError: it holds half a character.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        return text.replace("\n", "\r\n").encode()
    except UnicodeEncodeError as error:
        raise EmailInvalidError("content", "It holds half a character.") from error


def _body(text: str, boundary: bytes) -> tuple[bytes, bytes]:
    """Encode a body: `(Content-Transfer-Encoding, bytes)`."""
    raw = normalised(text)
    is_plain = not raw.translate(None, _PLAIN_BYTES) and boundary not in raw
    if is_plain and max(map(len, raw.split(b"\r\n"))) <= MAX_LINE:
        return b"7bit", raw
    # The codec breaks lines as the first line of its input ends.
    encoded = binascii.b2a_qp(raw.replace(b"\r\n", b"\n"))
    return b"quoted-printable", encoded.replace(b"\n", b"\r\n")


def _attached(attachment: Attachment) -> bytes:
    media_type = attachment.media_type
    if not _MEDIA_TYPE.fullmatch(media_type) or media_type.lower().startswith(
        ("multipart/", "message/")
    ):
        media_type = "application/octet-stream"
    encoded = base64.encodebytes(attachment.content).replace(b"\n", b"\r\n")
    return (
        f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n".encode()
        + b"Content-Disposition: attachment"
        + _filename(attachment.name)
        + b"\r\n\r\n"
        + encoded.removesuffix(b"\r\n")
    )


def _filename(name: str) -> bytes:
    name = name.strip()
    if _BREAKS.search(name) or not 0 < len(name) <= _MAX_FILENAME:
        raise EmailInvalidError("attachments", "This cannot be the name of a file.")
    if len(name) <= _SHORT_FILENAME and _PLAIN_FILENAME.fullmatch(name):
        return f';\r\n filename="{name}"'.encode()
    _refuse_surrogates("attachments", name)
    escapes = re.findall(r"%..|[^%]", quote(name, safe=""))
    pieces = ["".join(escapes[at : at + 18]) for at in range(0, len(escapes), 18)]
    if len(pieces) == 1:
        return f";\r\n filename*=utf-8''{pieces[0]}".encode()
    pieces[0] = "utf-8''" + pieces[0]
    return "".join(f";\r\n filename*{at}*={piece}" for at, piece in enumerate(pieces)).encode()


@dataclass(slots=True)
class Skeleton:
    """What all emails of one sender have in common, written once.

    `boundary` holds `=_`, which neither quoted-printable nor base64 can give; `domain` is the
    right part of each Message-ID.
    """

    sender: Mailbox
    boundary: str
    reply_to: Mailbox | None = None
    headers: Sequence[tuple[str, str]] = ()
    _head: bytes = field(init=False)
    _alternative: bytes = field(init=False)
    _mixed: bytes = field(init=False)
    _dates: tuple[int, bytes] = field(default=(-1, b""), init=False)

    def __post_init__(self) -> None:
        """Write it.

        Raises:
            EmailInvalidError: the sender or a header cannot be written.
        """
        if not re.fullmatch(r"=_[A-Za-z0-9]{8,60}", self.boundary):
            raise EmailInvalidError("boundary", "This is not a boundary.")
        head = mailbox_header("From", self.sender)
        if self.reply_to is not None:
            head += mailbox_header("Reply-To", self.reply_to)
        self._head = b"MIME-Version: 1.0\r\n" + head + _further(self.headers)
        start = b'\r\n boundary="%s"\r\n\r\n'
        mark = self.boundary.encode()
        self._alternative = b"Content-Type: multipart/alternative;" + start % (mark + b"a")
        self._mixed = b"Content-Type: multipart/mixed;" + start % (mark + b"m")

    def fill(self, outgoing: Outgoing, *, at: datetime, to: Mailbox | None = None) -> bytes:
        """Write one email; the same key gives the same Message-ID.

        Raises:
            EmailInvalidError: something in it cannot be in an email.
        """
        content = outgoing.content
        if not isinstance(content, EmailContent):
            raise EmailInvalidError("content", "This is not an email.")
        if not _KEY.fullmatch(outgoing.key):
            raise EmailInvalidError("key", "The key cannot be part of a Message-ID.")
        to = to or Mailbox.of(outgoing.address, outgoing.to_name)
        return b"".join(
            (
                self._head,
                mailbox_header("To", to),
                header("Subject", content.subject),
                b"Date: ",
                self._date(at),
                b"\r\n",
                f"Message-ID: <{outgoing.key}@{self.sender.domain}>\r\n".encode(),
                _further(outgoing.headers),
                *self._parts(content, outgoing.attachments),
            )
        )

    def _date(self, at: datetime) -> bytes:
        second = int(at.timestamp())
        if self._dates[0] != second:
            self._dates = (second, format_datetime(at).encode())
        return self._dates[1]

    def _parts(self, content: EmailContent, attachments: Sequence[Attachment]) -> Iterable[bytes]:
        mark = self.boundary.encode()
        if attachments:
            yield self._mixed
            yield b"--%sm\r\n" % mark
        if content.html is not None:
            yield self._alternative
            yield b"--%sa\r\n" % mark
            yield from _text(b"plain", content.text, mark)
            yield b"\r\n--%sa\r\n" % mark
            yield from _text(b"html", content.html, mark)
            yield b"\r\n--%sa--\r\n" % mark
        else:
            yield from _text(b"plain", content.text, mark)
            yield b"" if content.text.endswith("\n") and not attachments else b"\r\n"
        for attachment in attachments:
            yield b"--%sm\r\n" % mark
            yield _attached(attachment)
            yield b"\r\n"
        if attachments:
            yield b"--%sm--\r\n" % mark


def _text(subtype: bytes, text: str, boundary: bytes) -> Iterable[bytes]:
    encoding, body = _body(text, boundary)
    yield b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (
        subtype,
        encoding,
    )
    yield body


def _further(headers: Sequence[tuple[str, str]]) -> bytes:
    """Write headers that a caller chose, but none of those that are ours to write.

    Raises:
        EmailInvalidError: one is ours, or cannot be written.
    """
    for name, _ in headers:
        if name.lower() in _OURS or name.lower().startswith("content-"):
            raise EmailInvalidError("headers", f"{name} is not yours to write.")
    return b"".join(header(name, value) for name, value in headers)
