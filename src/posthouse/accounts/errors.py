"""What can go wrong in accounts."""

from typing import ClassVar

from posthouse.kernel.errors import Kind, PosthouseError


class EmailTakenError(PosthouseError):
    """Another user has this address."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "email-taken"
    title: ClassVar[str] = "This email address is taken"
