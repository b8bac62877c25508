"""Parts of a download, and what a browser is told to do with it.

Sources: RFC 9110 section 14 (Range), RFC 6266 and RFC 8187 (Content-Disposition).
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from posthouse.files.errors import RangeError
from posthouse.files.model import Disposition

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# What a browser shows without running anything of it.
_HARMLESS = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/avif",
        "image/gif",
        "application/pdf",
        "text/plain",
        "text/csv",
        "application/json",
    }
)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end`, which is not part of it."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


def read_range(header: str | None, size_bytes: int) -> Span | None:
    """The one range that is asked for; None for the whole, as for headers that say nothing to us.

    Raises:
        RangeError: it begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        last = min(int(match[2]), size_bytes)
        span = Span(size_bytes - last, size_bytes)
    else:
        end = size_bytes if match[2] == "" else min(int(match[2]) + 1, size_bytes)
        span = Span(int(match[1]), end)
        if match[2] != "" and int(match[2]) < int(match[1]):
            return None
    if span.size_bytes <= 0:
        raise RangeError(headers={"Content-Range": f"bytes */{size_bytes}"})
    return span


def disposition(wanted: Disposition, filename: str, media_type: str) -> str:
    """The Content-Disposition of a download; what could run scripts is never shown inline."""
    kind = wanted if media_type in _HARMLESS else Disposition.ATTACHMENT
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = "".join(one if one.isalnum() or one in " ._-()" else "_" for one in plain).strip()
    exact = quote(filename, safe="")
    return f"{kind}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{exact}"
