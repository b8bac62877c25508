"""What can go wrong in accounts."""

from typing import ClassVar

from posthouse.kernel.auth import ForbiddenError, UnauthenticatedError
from posthouse.kernel.errors import (
    FieldProblem,
    InvalidInputError,
    Kind,
    NotFoundError,
    PosthouseError,
)


class WrongCredentialsError(UnauthenticatedError):
    """The username or the password is wrong, or both: we do not say which."""

    code: ClassVar[str] = "wrong-credentials"
    title: ClassVar[str] = "The username or the password is wrong"


class RefreshTokenError(UnauthenticatedError):
    """The refresh token is unknown, used, expired or revoked: we do not say which."""

    code: ClassVar[str] = "refresh-token-invalid"
    title: ClassVar[str] = "This refresh token cannot be used; log in again"


class NotAUserError(ForbiddenError):
    """Only a logged-in user can do this, and the caller is an API key."""

    code: ClassVar[str] = "not-a-user"
    title: ClassVar[str] = "An API key cannot do this; log in"


class RoleTooHighError(ForbiddenError):
    """It would touch or grant a role that is higher than the caller's own."""

    code: ClassVar[str] = "role-too-high"
    title: ClassVar[str] = "This role is higher than your own"


class ScopeTooWideError(ForbiddenError):
    """A key may not make a key with scopes that it lacks itself."""

    code: ClassVar[str] = "scope-too-wide"
    title: ClassVar[str] = "Your own key lacks this scope"


class EmailTakenError(PosthouseError):
    """Another user has this address."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "email-taken"
    title: ClassVar[str] = "This email address is taken"


class LastOwnerError(PosthouseError):
    """The workspace would be left without an owner."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "last-owner"
    title: ClassVar[str] = "A workspace needs an owner"


class UserNotFoundError(NotFoundError):
    """There is no such user in this workspace."""

    code: ClassVar[str] = "user-not-found"
    title: ClassVar[str] = "There is no such user"


class KeyNotFoundError(NotFoundError):
    """There is no such key in this workspace."""

    code: ClassVar[str] = "key-not-found"
    title: ClassVar[str] = "There is no such key"


class UnknownScopeError(InvalidInputError):
    """A scope that no route asks for."""

    code: ClassVar[str] = "unknown-scope"
    title: ClassVar[str] = "There is no such scope"


class ExpiryPassedError(InvalidInputError):
    """The key would be expired when it is made."""

    code: ClassVar[str] = "expiry-passed"
    title: ClassVar[str] = "This time has passed"


class PasswordRefusedError(InvalidInputError):
    """The password can be guessed; `rule` says how."""

    code: ClassVar[str] = "password-refused"
    title: ClassVar[str] = "This password can be guessed"

    def __init__(self, rule: str = "password-refused", reason: str = "") -> None:
        """Name the field and the rule; the password itself is not repeated."""
        super().__init__(reason, fields=[FieldProblem("body.password", rule, reason)])


class CurrentPasswordError(InvalidInputError):
    """A new password needs the present one, and it is missing or wrong."""

    code: ClassVar[str] = "current-password-wrong"
    title: ClassVar[str] = "The current password is missing or wrong"

    def __init__(self, detail: str = "") -> None:
        """Name the field."""
        problem = FieldProblem("body.current_password", self.code, "missing or wrong")
        super().__init__(detail, fields=[problem])
