"""What a file is, by its first bytes; its name and declared type are only asked among texts.

Sources: the formats' own specifications (JPEG ITU T.81, PNG, RIFF, ISO/IEC 14496-12 brands, GIF89a,
TIFF 6.0, ISO 32000, Parquet), and the WHATWG's MIME Sniffing for HTML.
"""

import json
import re

ENOUGH = 4096
"""So many bytes from the start decide."""
UNKNOWN = "application/octet-stream"

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"%PDF-", "application/pdf"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ", "application/x-msdownload"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\x00asm", "application/wasm"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"{\\rtf", "application/rtf"),
    (b"%!PS", "application/postscript"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
}
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|h1|div|font|table|a|style|title|b|br|p)"
    rb"[\s>/]|<!--",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<(?:\w+:)?svg[\s>]", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[\s]", re.IGNORECASE)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# Bytes that no text has, but for UTF-16 and UTF-32.
_BINARY = frozenset(range(32)) - {9, 10, 12, 13, 27}

_MOSTLY = 0.4

# Text is of the kind that its sender says, as no first bytes tell CSV from prose.
_TEXT_NAMES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "tab": "text/tab-separated-values",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "jsonl": "application/x-ndjson",
    "txt": "text/plain",
}
_TEXT_TYPES = {
    **{media_type: media_type for media_type in _TEXT_NAMES.values()},
    "application/jsonl": "application/x-ndjson",
    "application/csv": "text/csv",
    "application/vnd.ms-excel": "text/csv",
}


def media_type_of(head: bytes, name: str, declared_type: str) -> str:
    """The media type of a file that begins with `head`, of at least `ENOUGH` bytes if it has them.

    `name` and `declared_type` are what its sender says; they choose among kinds of text only.
    """
    found = _by_signature(head)
    if found is not None:
        return found
    text = _without_mark(head).lstrip()
    if _SVG.search(text[:1024]) and (text.startswith(b"<")):
        return "image/svg+xml"
    if _HTML.match(text):
        return "text/html"
    if _XML.match(text):
        return "application/xml"
    if not _is_text(head):
        return UNKNOWN
    return _kind_of_text(text, name, declared_type)


def _by_signature(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), 64), 4))]
        known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        # An AVIF may call itself mif1 first.
        return "image/avif" if "image/avif" in known else [*known, "video/mp4"][0]
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return _certain(head, prefix, media_type)
    return None


def _certain(head: bytes, prefix: bytes, media_type: str) -> str | None:
    """A signature of two letters may be the first word of a text."""
    return None if len(prefix) == len(b"MZ") and _is_text(head) else media_type


def _without_mark(head: bytes) -> bytes:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[2:].replace(b"\x00", b"")
    return head.removeprefix(b"\xef\xbb\xbf")


def _is_text(head: bytes) -> bool:
    if head.startswith(_MARKS):
        return True
    if _BINARY.isdisjoint(head):
        return True
    # UTF-16 without a mark: every other byte of plain letters is zero.
    even, odd = head[0::2], head[1::2]
    fewer, more = sorted((even.count(0), odd.count(0)))
    return fewer == 0 and more > _MOSTLY * len(odd) > 1


def _kind_of_text(text: bytes, name: str, declared_type: str) -> str:
    declared = declared_type.partition(";")[0].strip().lower()
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    said = _TEXT_NAMES.get(extension)
    if said is None or (declared in _TEXT_TYPES and said == "text/plain"):
        said = _TEXT_TYPES.get(declared, said)
    if said is not None and said != "text/plain":
        return said
    return _looks_like_json(text) or said or "text/plain"


def _looks_like_json(text: bytes) -> str | None:
    if text[:1] not in {b"{", b"["}:
        return None
    first, newline, rest = text.partition(b"\n")
    if newline and rest.lstrip()[:1] == b"{" and _is_json(first):
        return "application/x-ndjson"
    return "application/json"


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
