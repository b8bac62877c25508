"""Access tokens: JWTs that one algorithm and one key can make, and that live for minutes.

The header must be exactly ours, so that no `kid`, `jku`, `x5u` or `crit` is ever followed.
Source: RFC 8725 (JWT best practice), RFC 9068 (`at+jwt`).
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import jwt

from posthouse.accounts.model import SESSION, USER, WORKSPACE, Session, SessionId, UserId
from posthouse.kernel.auth import UnauthenticatedError
from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import NotFoundError
from posthouse.kernel.signing import derive_key

ALGORITHM: Final = "HS256"
TYPE: Final = "at+jwt"
LEEWAY_S: Final = 30
# PyJWT's types name a class of an optional dependency, so strict checkers cannot read them.
_JWT: Any = jwt
_REQUIRED = ["iss", "aud", "exp", "nbf", "iat", "sub", "sid", "wsp", "jti"]
# RFC 7515 section 2: base64url without padding; the decoder would take padding and newlines.
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER = {"alg": ALGORITHM, "typ": TYPE}


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose token it is, and by which session."""

    user_id: UserId
    session_id: SessionId
    workspace_id: UUID


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Makes and reads access tokens of one installation, whose address is `issuer`."""

    key: bytes = field(repr=False)
    issuer: str
    life_s: int
    clock: Clock

    @classmethod
    def of(cls, secret: str, issuer: str, life_s: int, clock: Clock) -> "AccessTokens":
        """Take the key of this purpose from the installation's secret."""
        return cls(derive_key(secret, "access-token"), issuer, life_s, clock)

    @property
    def audience(self) -> str:
        """Who the tokens are for: our API."""
        return f"{self.issuer}/api"

    def issue(self, session: Session) -> str:
        """Make a token of a session."""
        now = int(self.clock.epoch_s())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": USER.show(session.user_id),
            "sid": SESSION.show(session.id),
            "wsp": WORKSPACE.show(session.workspace_id),
            "iat": now,
            "nbf": now,
            "exp": now + self.life_s,
            "jti": secrets.token_urlsafe(12),
        }
        return _JWT.encode(claims, self.key, ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str) -> Claims:
        """Check a token and say whose it is; whether the session still lives is not asked here.

        Raises:
            UnauthenticatedError: it is not one of ours, is not for us, or is not valid now.
        """
        try:
            if not _SHAPE.fullmatch(token) or jwt.get_unverified_header(token) != _HEADER:
                raise UnauthenticatedError
            claims = self._verify(token)
            self._require_now(claims)
            return Claims(
                UserId(USER.read(claims["sub"])),
                SessionId(SESSION.read(claims["sid"])),
                WORKSPACE.read(claims["wsp"]),
            )
        except (jwt.PyJWTError, NotFoundError, TypeError, ValueError, AttributeError) as error:
            raise UnauthenticatedError from error

    def _verify(self, token: str) -> dict[str, Any]:
        # PyJWT would ask the machine for the time; `_require_now` asks our clock.
        return _JWT.decode(
            token,
            self.key,
            algorithms=[ALGORITHM],
            audience=self.audience,
            issuer=self.issuer,
            options={
                "require": _REQUIRED,
                "strict_aud": True,
                "enforce_minimum_key_length": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )

    def _require_now(self, claims: dict[str, Any]) -> None:
        moments = [claims["iat"], claims["nbf"], claims["exp"]]
        if any(type(moment) is not int for moment in moments):
            raise UnauthenticatedError
        now = self.clock.epoch_s()
        iat, nbf, exp = moments
        if max(iat, nbf) > now + LEEWAY_S or exp <= now - LEEWAY_S:
            raise UnauthenticatedError
