"""The headers of tus 1.0, read strictly."""

import base64
import binascii
import re
from collections.abc import Mapping

from posthouse.files.appending import ALGORITHMS, Checksum
from posthouse.files.errors import TusHeaderError
from posthouse.files.model import FILE, FileId
from posthouse.kernel.errors import MalformedError

_NUMBER = re.compile(r"\d{1,18}")
_MAX_METADATA = 4096
_MAX_PARTS = 1000


def number_of(headers: Mapping[str, str], header: str) -> int | None:
    """The number of a header, or None without it.

    Raises:
        TusHeaderError: it is none.
    """
    text = headers.get(header)
    if text is not None and not _NUMBER.fullmatch(text):
        raise TusHeaderError(header, "a number of bytes")
    return None if text is None else int(text)


def length_of(headers: Mapping[str, str]) -> int | None:
    """How long the upload will be; None if that is said later.

    Raises:
        TusHeaderError: neither is said, or both are.
    """
    length = number_of(headers, "upload-length")
    deferred = headers.get("upload-defer-length")
    if deferred not in {None, "1"} or (length is None) == (deferred is None):
        raise TusHeaderError("upload-length", "a number of bytes, or Upload-Defer-Length: 1")
    return length


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """What the body must digest to.

    Raises:
        MalformedError: the algorithm is not one of ours, or the digest is none.
    """
    header = headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, text = header.partition(" ")
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if algorithm not in ALGORITHMS or len(digest) != ALGORITHMS[algorithm]().digest_size:
        raise MalformedError(f"Upload-Checksum: one of {', '.join(ALGORITHMS)}, and base64.")
    return Checksum(algorithm, digest)


def parts_of(concat: str) -> list[FileId]:
    """The partial uploads that a final one is made of.

    Raises:
        TusHeaderError: there are none, or too many.
    """
    named = concat.removeprefix("final;").split()
    if not 0 < len(named) <= _MAX_PARTS:
        raise TusHeaderError("upload-concat", f"1 to {_MAX_PARTS} URLs of partial uploads")
    return [FileId(FILE.read(one.rstrip("/").rpartition("/")[2])) for one in named]


def read_metadata(header: str) -> dict[str, str]:
    """Read `Upload-Metadata`: keys, each with a value in base64 or none.

    Raises:
        TusHeaderError: it is longer than it may be, a value is not base64 of UTF-8, or a key
            comes twice.
    """
    if len(header) > _MAX_METADATA:
        raise TusHeaderError("upload-metadata", f"at most {_MAX_METADATA} bytes")
    found: dict[str, str] = {}
    for pair in filter(None, (one.strip() for one in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise TusHeaderError("upload-metadata", f"the value of {key[:40]} in base64") from error
        if key in found or not key.isascii():
            raise TusHeaderError("upload-metadata", "each key once")
        found[key] = text
    return found
