"""One voice for failure: a kind says what the edges do, a code says which case it is.

HTTP turns an error into RFC 9457 problem+json, the CLI into an exit code, the worker into a
retry or a dead letter. Nobody else translates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of failure it is: all that an edge needs to know."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD = "method"
    NOT_ACCEPTABLE = "not-acceptable"
    CONFLICT = "conflict"
    GONE = "gone"
    STALE = "stale"
    TOO_LARGE = "too-large"
    MEDIA_TYPE = "media-type"
    RANGE = "range"
    MISDIRECTED = "misdirected"
    INVALID = "invalid"
    LOCKED = "locked"
    RATE_LIMITED = "rate-limited"
    HEADERS_TOO_LARGE = "headers-too-large"
    CHECKSUM = "checksum"
    INTERNAL = "internal"
    UPSTREAM = "upstream"
    UNAVAILABLE = "unavailable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    STORAGE_FULL = "storage-full"
    LOOP = "loop"


STATUS: Mapping[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD: 405,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.STALE: 412,
    Kind.TOO_LARGE: 413,
    Kind.MEDIA_TYPE: 415,
    Kind.RANGE: 416,
    Kind.MISDIRECTED: 421,
    Kind.INVALID: 422,
    Kind.LOCKED: 423,
    Kind.RATE_LIMITED: 429,
    Kind.HEADERS_TOO_LARGE: 431,
    Kind.CHECKSUM: 460,  # of tus alone
    Kind.INTERNAL: 500,
    Kind.UPSTREAM: 502,
    Kind.UNAVAILABLE: 503,
    Kind.UPSTREAM_TIMEOUT: 504,
    Kind.STORAGE_FULL: 507,
    Kind.LOOP: 508,
}

# Exit codes of the CLI, after sysexits.h: 64 usage, 65 data, 69 unavailable, 75 try again, 77 no
# permission; 1 for what has no better number.
EXIT_CODES: Mapping[Kind, int] = {
    Kind.UNAUTHENTICATED: 77,
    Kind.FORBIDDEN: 77,
    Kind.NOT_FOUND: 66,
    Kind.INVALID: 65,
    Kind.MALFORMED: 65,
    Kind.CONFLICT: 73,
    Kind.RATE_LIMITED: 75,
    Kind.UNAVAILABLE: 69,
    Kind.UPSTREAM: 69,
    Kind.UPSTREAM_TIMEOUT: 69,
}

RETRYABLE = frozenset(
    {
        Kind.RATE_LIMITED,
        Kind.LOCKED,
        Kind.UNAVAILABLE,
        Kind.UPSTREAM,
        Kind.UPSTREAM_TIMEOUT,
        Kind.STORAGE_FULL,
    }
)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one input: `field` is a path such as `body.tags.0`."""

    field: str
    code: str
    message: str


class PosthouseError(Exception):
    """The parent of every failure that Posthouse means to raise.

    A subclass sets `kind`, `code` and `title`; `code` is stable and is the last part of the
    problem's `type`. The text is shown to the caller, so it holds no internals.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        fields: Sequence[FieldProblem] = (),
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is the case in `detail`; `retry_after_s` becomes `Retry-After`."""
        super().__init__(detail or self.title)
        self.detail = detail
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status that this error is answered with."""
        return STATUS[self.kind]

    @property
    def exit_code(self) -> int:
        """The exit code of a CLI verb that ends with this error."""
        return EXIT_CODES.get(self.kind, 1)

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed later without a change."""
        return self.kind in RETRYABLE


class InternalError(PosthouseError):
    """An error that nobody meant to raise; its cause is in the log under the request id."""


class MalformedError(PosthouseError):
    """The request cannot be read at all."""

    kind = Kind.MALFORMED
    code = "malformed-request"
    title = "The request cannot be read"


class MalformedJsonError(MalformedError):
    """The body is not one JSON text by RFC 8259, or is nested too deep or has a name twice."""

    code = "malformed-json"
    title = "The body is not valid JSON"


class InvalidInputError(PosthouseError):
    """The input was read but breaks a rule; `fields` names each."""

    kind = Kind.INVALID
    code = "invalid-input"
    title = "Some of the input is not valid"


class NotFoundError(PosthouseError):
    """There is no such thing here, or it belongs to somebody else."""

    kind = Kind.NOT_FOUND
    code = "not-found"
    title = "There is nothing here"


class MethodError(PosthouseError):
    """The path exists, but not with this method."""

    kind = Kind.METHOD
    code = "method-not-allowed"
    title = "This method is not allowed here"


class NotAcceptableError(PosthouseError):
    """The caller accepts no form that we can answer in."""

    kind = Kind.NOT_ACCEPTABLE
    code = "not-acceptable"
    title = "We cannot answer in a form you accept"


class MediaTypeError(PosthouseError):
    """The body's media type is not one this endpoint reads."""

    kind = Kind.MEDIA_TYPE
    code = "unsupported-media-type"
    title = "The body has an unsupported media type"


class TooLargeError(PosthouseError):
    """The body is larger than this endpoint takes."""

    kind = Kind.TOO_LARGE
    code = "body-too-large"
    title = "The body is too large"


class HeadersTooLargeError(PosthouseError):
    """The header section is larger than we read."""

    kind = Kind.HEADERS_TOO_LARGE
    code = "headers-too-large"
    title = "The request headers are too large"


class BodyTimeoutError(MalformedError):
    """The body did not arrive in time."""

    code = "body-timeout"
    title = "The body did not arrive in time"


class MisdirectedError(PosthouseError):
    """The Host is not one of ours."""

    kind = Kind.MISDIRECTED
    code = "unknown-host"
    title = "This host is not served here"


class StaleError(PosthouseError):
    """`If-Match` names another version than the present one."""

    kind = Kind.STALE
    code = "precondition-failed"
    title = "It has changed since you read it"


class UnavailableError(PosthouseError):
    """A part we need is down; the same call may succeed soon."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"
    title = "A part of the service is not available"


class DatabaseUnavailableError(UnavailableError):
    """Postgres does not answer."""

    code = "database-unavailable"
    title = "The database is not available"


class DatabaseBusyError(UnavailableError):
    """A statement or a lock took longer than its limit."""

    code = "database-busy"
    title = "The database is busy"


class OverloadedError(UnavailableError):
    """More work waits than can be done in time; nothing was changed."""

    code = "overloaded"
    title = "Too much is going on right now"


class StorageFullError(PosthouseError):
    """A disk is full, of the database or of the files; reads still work."""

    kind = Kind.STORAGE_FULL
    code = "storage-full"
    title = "There is no space left to store this"


class LoopError(PosthouseError):
    """Answering would send the caller round in a circle."""

    kind = Kind.LOOP
    code = "redirect-loop"
    title = "This leads back to itself"
