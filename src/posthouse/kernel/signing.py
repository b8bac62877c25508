"""Keys for each purpose from the one secret, and tokens that cannot be forged.

A key is HMAC-SHA256(secret, purpose), so a token made for one purpose is worthless for another.
Source: RFC 2104 (HMAC), RFC 5869 section 3.2 (one key per purpose).
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from importlib.resources import files

MIN_SECRET_BYTES = 32
_TAG_BYTES = 16
_MIN_CHARACTERS = 8
_HELP = "make one with: openssl rand -hex 32"


class WeakSecretError(ValueError):
    """The secret is too short or is one that everybody knows; the program must not start."""


def check_secret(secret: str) -> None:
    """Refuse a secret that can be guessed.

    Raises:
        WeakSecretError: it has fewer than 32 bytes or is on the public list of known secrets.
    """
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise WeakSecretError(f"POSTHOUSE_SECRET has fewer than {MIN_SECRET_BYTES} bytes; {_HELP}")
    known = files("posthouse.kernel").joinpath("weak_secrets.txt").read_text("utf-8")
    is_known = secret.strip() in map(str.strip, known.splitlines())
    if is_known or len(set(secret)) < _MIN_CHARACTERS:
        raise WeakSecretError(
            "POSTHOUSE_SECRET is a secret that everybody knows; make one with: openssl rand -hex 32"
        )


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks short texts for one purpose."""

    key: bytes

    @classmethod
    def for_purpose(cls, secret: str, purpose: str) -> "Signer":
        """The signer of one purpose, such as `cursor`."""
        return cls(derive_key(secret, purpose))

    def seal(self, payload: bytes) -> str:
        """Give payload and tag as one URL-safe text; the payload can be read, not changed."""
        return base64.urlsafe_b64encode(self._tag(payload) + payload).rstrip(b"=").decode()

    def unseal(self, token: str) -> bytes | None:
        """Give the payload back, or None if the token is not one of ours."""
        try:
            raw = base64.b64decode(
                token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, ValueError):
            return None
        tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        # Unused low bits of the last character would give one token several spellings.
        is_ours = hmac.compare_digest(tag, self._tag(payload)) and self.seal(payload) == token
        return payload if is_ours else None

    def sign(self, payload: bytes) -> str:
        """Give a tag for a payload that travels beside it, as a URL-safe text."""
        return base64.urlsafe_b64encode(self._tag(payload)).rstrip(b"=").decode()

    def fits(self, payload: bytes, tag: str) -> bool:
        """Whether a tag is the one of this payload; takes the same time for every wrong one."""
        return hmac.compare_digest(self.sign(payload).encode(), tag.encode())

    def _tag(self, payload: bytes) -> bytes:
        return hmac.digest(self.key, payload, "sha256")[:_TAG_BYTES]


def derive_key(secret: str, purpose: str) -> bytes:
    """The 32-byte key of one purpose."""
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)
