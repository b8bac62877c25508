"""Refresh tokens as text: 256 random bits after a prefix that secret scanners know."""

import hashlib
import secrets

PREFIX = "ph_refresh_"


def fresh() -> str:
    """Make a refresh token."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
