"""API keys as text: `ph_live_` and 32 random bytes with a checksum.

The prefix lets secret scanners find a leaked key, the checksum lets us refuse a mistyped one
without asking the database. Only the SHA-256 is stored: 256 random bits need no slow hash.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "ph_live_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH = 43  # 62^43 > 2^256
_CHECKSUM_LENGTH = 6  # 62^6 > 2^32
_SHAPE = re.compile(f"{PREFIX}([0-9A-Za-z]{{{_BODY_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})")


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def fresh() -> str:
    """Make a key."""
    body = _base62(secrets.randbits(256), _BODY_LENGTH)
    return PREFIX + body + _checksum(body)


def fresh_pair() -> tuple[str, bytes]:
    """Make a key, and the digest that is stored of it."""
    key = fresh()
    return key, hashlib.sha256(key.encode()).digest()


def digest(key: str) -> bytes | None:
    """The SHA-256 of a key, or None if the text is not a key."""
    match = _SHAPE.fullmatch(key)
    if match is None or match[2] != _checksum(match[1]):
        return None
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """The part of a key that may be shown later."""
    return key[: len(PREFIX) + 4] + "…"
