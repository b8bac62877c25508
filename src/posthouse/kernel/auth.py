"""Who asks, and what they may do.

The kernel owns the shapes; the accounts slice implements `Authenticator`. Credentials are
checked before the body is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol
from uuid import UUID

from posthouse.kernel.errors import Kind, PosthouseError

_MAX_TOKEN = 4096


class UnauthenticatedError(PosthouseError):
    """There are no credentials, or they are wrong, expired or revoked: we do not say which."""

    kind: ClassVar[Kind] = Kind.UNAUTHENTICATED
    code: ClassVar[str] = "unauthenticated"
    title: ClassVar[str] = "Valid credentials are needed"

    def __init__(self, detail: str = "") -> None:
        """Ask for a bearer token, as RFC 6750 section 3 wants it asked."""
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="posthouse"'})


class ForbiddenError(PosthouseError):
    """The caller is known but may not do this."""

    kind: ClassVar[Kind] = Kind.FORBIDDEN
    code: ClassVar[str] = "forbidden"
    title: ClassVar[str] = "You may not do this"


class Role(StrEnum):
    """What a member of a workspace may do; each role holds the ones after it."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """A number to compare roles by: the owner's is the highest."""
        return len(Role) - list(Role).index(self)

    def covers(self, other: "Role") -> bool:
        """Whether this role may do all that `other` may."""
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True)
class Scope:
    """One right that a route asks for: its name and the least role that has it."""

    name: str
    least_role: Role


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request.

    `actor` is the id of the user or key as callers see it, for the audit log and rate limits.
    `scopes` narrows what the role allows; None means all that the role allows.
    """

    workspace_id: UUID
    actor: str
    role: Role
    user_id: UUID | None = None
    key_id: UUID | None = None
    session_id: UUID | None = None
    scopes: frozenset[str] | None = None

    def require(self, scope: Scope) -> None:
        """Go on if the principal has `scope`.

        Raises:
            ForbiddenError: its role or its key does not include it.
        """
        if not self.role.covers(scope.least_role):
            raise ForbiddenError(f"This needs the role {scope.least_role} or a higher one.")
        if self.scopes is not None and scope.name not in self.scopes:
            raise ForbiddenError(f"This key lacks the scope {scope.name}.")

    def may(self, scope: Scope) -> bool:
        """Whether the principal has `scope`."""
        is_named = self.scopes is None or scope.name in self.scopes
        return is_named and self.role.covers(scope.least_role)


class Authenticator(Protocol):
    """Finds the principal of a bearer token."""

    async def authenticate(self, bearer: str) -> Principal:
        """Give the principal.

        Raises:
            UnauthenticatedError: the token is not valid (any more).
        """
        ...


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """The bearer token of an `Authorization` header (RFC 6750), or None if there is no header.

    Raises:
        UnauthenticatedError: there is a header, but no bearer token in it.
    """
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN or not token.isascii():
        raise UnauthenticatedError
    return token
