"""What can go wrong with links."""

from typing import ClassVar

from posthouse.kernel.errors import (
    FieldProblem,
    InvalidInputError,
    Kind,
    PosthouseError,
)


class CodeTakenError(PosthouseError):
    """Another link of this domain has the code, or it is reserved."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "code-taken"
    title: ClassVar[str] = "This code is taken"


class NoFreeCodeError(PosthouseError):
    """Several fresh codes in a row were taken; the space of codes is nearly used up."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    code: ClassVar[str] = "no-free-code"
    title: ClassVar[str] = "No free code was found"


class LinkNotFoundError(PosthouseError):
    """There is no such link in this workspace."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "link-not-found"
    title: ClassVar[str] = "There is no such link"


class TargetRefusedError(InvalidInputError):
    """The target is not one that we lead to; the parent of the reasons below."""

    code: ClassVar[str] = "url-refused"
    title: ClassVar[str] = "Links may not lead there"
    reason: ClassVar[str] = "This target is not allowed."

    def __init__(self, reason: str = "", *, field: str = "body.url") -> None:
        """Name the field and the rule."""
        reason = reason or self.reason
        super().__init__(reason, fields=[FieldProblem(field, self.code, reason)])


class UrlInvalidError(TargetRefusedError):
    """It is not a URL by the WHATWG standard, or it holds control characters."""

    code: ClassVar[str] = "url-invalid"
    title: ClassVar[str] = "This is not a URL"
    reason: ClassVar[str] = "Give a whole URL, such as https://example.com/page."


class UrlSchemeError(TargetRefusedError):
    """Its scheme is not http or https."""

    code: ClassVar[str] = "url-scheme-not-allowed"
    title: ClassVar[str] = "This scheme is not allowed"
    reason: ClassVar[str] = "The URL must start with http:// or https://."


class UrlUserinfoError(TargetRefusedError):
    """It carries a user name or a password."""

    code: ClassVar[str] = "url-userinfo"
    title: ClassVar[str] = "The URL carries credentials"
    reason: ClassVar[str] = "Take the user name and the password out of the URL."


class UrlTooLongError(TargetRefusedError):
    """It has more than 8 KiB."""

    code: ClassVar[str] = "url-too-long"
    title: ClassVar[str] = "The URL is too long"
    reason: ClassVar[str] = "A URL may have at most 8192 bytes."


class UrlPrivateError(TargetRefusedError):
    """Its host is a private or local address or name."""

    code: ClassVar[str] = "url-private-target"
    title: ClassVar[str] = "The URL leads into a private network"
    reason: ClassVar[str] = "Private and local hosts are refused on this installation."


class UrlBlockedError(TargetRefusedError):
    """Its host is on the block list."""

    code: ClassVar[str] = "url-blocked"
    title: ClassVar[str] = "This host is blocked"
    reason: ClassVar[str] = "Links may not lead to this host."


class UrlSelfReferenceError(TargetRefusedError):
    """Its host is one of our own, so following it would go in a circle."""

    code: ClassVar[str] = "url-self-reference"
    title: ClassVar[str] = "The URL leads back to us"
    reason: ClassVar[str] = "A short link may not lead to another short link of ours."


class UnknownDomainError(InvalidInputError):
    """The domain is not one that this workspace may use."""

    code: ClassVar[str] = "unknown-domain"
    title: ClassVar[str] = "There is no such domain"


class StatsRangeError(InvalidInputError):
    """The range of the statistics is empty, too long, or not a time."""

    code: ClassVar[str] = "range-invalid"
    title: ClassVar[str] = "This range of time cannot be shown"

    @classmethod
    def of(cls, name: str, why: str) -> "StatsRangeError":
        """Name the part of the query that is wrong."""
        return cls(f"{name}: {why}.", fields=[FieldProblem(f"query.{name}", cls.code, why)])
