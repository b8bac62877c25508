"""Typed ids: a prefix and 26 characters of a UUIDv7, such as `lnk_01jcq…`.

The text is Crockford's base32 in lower case, parsed strictly: one id has one spelling.
Source: RFC 9562 section 5.7 (UUIDv7).
"""

import re
from dataclasses import dataclass
from uuid import UUID

import uuid_utils.compat as uuid_utils

from posthouse.kernel.errors import NotFoundError

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_LENGTH = 26
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
# 26 characters hold 130 bits, so the first carries only three of the 128.
_BODY = re.compile(f"[0-7][{ALPHABET}]{{{_LENGTH - 1}}}")


def fresh() -> UUID:
    """Make a UUIDv7: in order of time, 74 random bits."""
    return uuid_utils.uuid7()


@dataclass(frozen=True, slots=True)
class Prefix:
    """One kind of id: `Prefix("lnk").show(uuid)` gives `lnk_…`, `read` is its inverse."""

    name: str

    def show(self, value: UUID) -> str:
        """Write an id as callers see it."""
        number = value.int
        # Two characters at a time: a thousand pairs are looked up faster than made.
        pairs = [_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)]
        return f"{self.name}_{''.join(pairs)}"

    def read(self, text: str) -> UUID:
        """Read an id that a caller sent.

        Raises:
            NotFoundError: the text is not an id of this kind, so nothing can bear it.
        """
        head, _, body = text.partition("_")
        if head != self.name or not _BODY.fullmatch(body):
            raise NotFoundError
        number = 0
        for character in body:
            number = number << 5 | _VALUE[character]
        return UUID(int=number)

    @property
    def pattern(self) -> str:
        """The regular expression of such an id, for the API's schema."""
        return f"^{self.name}_{_BODY.pattern}$"
