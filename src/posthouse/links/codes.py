"""Codes: seven random characters, or a slug that the caller chose.

62^7 is 3.5e12: with a million links a fresh code is taken once in 3.5 million tries, and a
guess finds a link as rarely. Codes come from the system's CSPRNG, so none predicts another.
See `docs/decisions/0004-random-codes.md`.
"""

import re
import secrets

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 7
SLUG_PATTERN = r"^[A-Za-z0-9_-]{3,64}$"
_SLUG = re.compile(SLUG_PATTERN[1:-1])

# The first segments of our own paths, and a few that later versions may want.
RESERVED = frozenset({"api", "app", "docs", "livez", "readyz", "healthz", "metrics"})


def fresh() -> str:
    """Draw a code: each of the 62^7 is as likely as any other."""
    while True:
        number = secrets.randbelow(62**LENGTH)
        digits: list[str] = []
        for _ in range(LENGTH):
            number, digit = divmod(number, 62)
            digits.append(ALPHABET[digit])
        code = "".join(digits)
        if not is_reserved(code):
            return code


def is_code(text: str) -> bool:
    """Whether a text has the form of a code or slug; nothing else needs to be looked up."""
    return _SLUG.fullmatch(text) is not None


def is_reserved(code: str) -> bool:
    """Whether a code is kept for our own paths, in any case of letters."""
    return code.lower() in RESERVED
