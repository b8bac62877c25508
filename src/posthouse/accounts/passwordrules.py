"""Which passwords are taken: long ones that are not easy to guess, of any characters.

No rule asks for digits or signs, and none expires. Source: NIST SP 800-63B section 3.1.1.2
(15 characters where a password is the only factor, a list of common ones, the name of the
service and of the user), OWASP ASVS 6.2.
"""

from functools import cache
from importlib.resources import files
from itertools import pairwise

from posthouse.accounts.errors import PasswordRefusedError
from posthouse.kernel.passwords import normalise

MAX_LENGTH = 128
_SERVICE = "posthouse"
# A shorter name would be found by chance in good passwords.
_SHORTEST_NAME = 4


def check_password(password: str, *, email: str, min_length: int) -> None:
    """Refuse a password that can be guessed; lengths are counted as it is hashed (NFKC).

    Raises:
        PasswordRefusedError: it is short, common, repetitive, or holds the user's or our name.
    """
    text = normalise(password)
    if len(text) < min_length:
        raise PasswordRefusedError("too-short", f"Use at least {min_length} characters.")
    lowered = text.casefold()
    bare = "".join(character for character in lowered if character.isalnum())
    if lowered in _common() or bare in _common():
        raise PasswordRefusedError("too-common", "Many people use this password.")
    if _is_repeated(lowered) or _is_run(lowered):
        raise PasswordRefusedError("repetitive", "It repeats or counts up; use more than that.")
    local_part = normalise(email).casefold().partition("@")[0]
    names = [_SERVICE, *([local_part] if len(local_part) >= _SHORTEST_NAME else [])]
    if any(name in lowered for name in names):
        raise PasswordRefusedError("holds-a-name", "Leave out your address and our name.")


@cache
def _common() -> frozenset[str]:
    text = files("posthouse.accounts").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _is_repeated(text: str) -> bool:
    """Whether the text is one shorter text several times, or is made of two characters."""
    return text in (text + text)[1:-1] or len(set(text)) <= 2  # noqa: PLR2004  two characters


def _is_run(text: str) -> bool:
    """Whether each character follows the one before it, as in `abcdef` or `987654`."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return steps in ({1}, {-1})
