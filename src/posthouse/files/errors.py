"""What can go wrong with files."""

from collections.abc import Sequence
from typing import ClassVar

from posthouse.kernel.errors import (
    FieldProblem,
    InvalidInputError,
    Kind,
    MalformedError,
    PosthouseError,
    TooLargeError,
)


class FileUnknownError(PosthouseError):
    """There is no such file in this workspace."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "file-not-found"
    title: ClassVar[str] = "There is no such file"


class ResultNotFoundError(PosthouseError):
    """The file has no such result (yet)."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "result-not-found"
    title: ClassVar[str] = "The file has no such result"


class RecipeNotFoundError(PosthouseError):
    """There is no such recipe, or no such version of it."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "recipe-not-found"
    title: ClassVar[str] = "There is no such recipe"


class UploadNotFoundError(PosthouseError):
    """There is no such upload: it never was, is completed long ago, was ended or has expired."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "upload-not-found"
    title: ClassVar[str] = "There is no such upload"


class FileTooLargeError(TooLargeError):
    """The file has more bytes than a file may have."""

    code: ClassVar[str] = "file-too-large"
    title: ClassVar[str] = "The file is too large"


class QuotaExceededError(PosthouseError):
    """The workspace may not store that much."""

    kind: ClassVar[Kind] = Kind.STORAGE_FULL
    code: ClassVar[str] = "quota-exceeded"
    title: ClassVar[str] = "The workspace has no room for this file"

    @property
    def is_retryable(self) -> bool:
        """Only deleting something helps."""
        return False


class TypeNotAllowedError(InvalidInputError):
    """What the file holds is not a type that is taken here."""

    code: ClassVar[str] = "type-not-allowed"
    title: ClassVar[str] = "This type of file is not taken"


class EmptyFileError(InvalidInputError):
    """There were no bytes."""

    code: ClassVar[str] = "file-empty"
    title: ClassVar[str] = "The file is empty"


class MultipartError(MalformedError):
    """The body is not a multipart form with one file in it."""

    code: ClassVar[str] = "multipart-invalid"
    title: ClassVar[str] = "The form cannot be read"


class UploadCutError(MalformedError):
    """The sender went away before all bytes had come."""

    code: ClassVar[str] = "upload-cut"
    title: ClassVar[str] = "The upload ended before its end"


class RecipeInvalidError(InvalidInputError):
    """The recipe breaks a rule; each place is named."""

    code: ClassVar[str] = "recipe-invalid"
    title: ClassVar[str] = "The recipe is not valid"

    def __init__(
        self,
        place: str = "recipe",
        rule: str = "invalid",
        message: str = "",
        *,
        fields: Sequence[FieldProblem] = (),
    ) -> None:
        """Name the place and the rule that it breaks, or several in `fields`."""
        found = fields or [FieldProblem(place, rule, message)]
        super().__init__(f"{found[0].field}: {found[0].message}.", fields=found)


class UnknownProcessorError(InvalidInputError):
    """A step uses a processor that there is not."""

    code: ClassVar[str] = "unknown-processor"
    title: ClassVar[str] = "There is no such processor"

    def __init__(self, field: str = "recipe", known: str = "") -> None:
        """Name the step, and what there is."""
        problem = FieldProblem(field, self.code, "not a processor of GET /files/processors")
        super().__init__(f"There are {known}." if known else "", fields=[problem])


class SignatureInvalidError(PosthouseError):
    """The address of a download was not made here, or was changed."""

    kind: ClassVar[Kind] = Kind.FORBIDDEN
    code: ClassVar[str] = "signature-invalid"
    title: ClassVar[str] = "This address is not valid"


class LinkExpiredError(PosthouseError):
    """The address of a download was valid once."""

    kind: ClassVar[Kind] = Kind.GONE
    code: ClassVar[str] = "link-expired"
    title: ClassVar[str] = "This address has expired"


class RangeError(PosthouseError):
    """The range lies outside of the file."""

    kind: ClassVar[Kind] = Kind.RANGE
    code: ClassVar[str] = "range-not-satisfiable"
    title: ClassVar[str] = "The file has no such range"


class TusVersionError(PosthouseError):
    """The request does not speak tus 1.0.0."""

    kind: ClassVar[Kind] = Kind.STALE
    code: ClassVar[str] = "tus-version"
    title: ClassVar[str] = "Only tus 1.0.0 is spoken here"

    def __init__(self, detail: str = "") -> None:
        """Say which version is spoken."""
        super().__init__(detail or "Send Tus-Resumable: 1.0.0.", headers={"Tus-Version": "1.0.0"})


class TusHeaderError(InvalidInputError):
    """A header of tus cannot be read."""

    code: ClassVar[str] = "tus-header"
    title: ClassVar[str] = "A header cannot be read"

    def __init__(self, header: str = "", wanted: str = "") -> None:
        """Name the header, and what it may be."""
        problem = FieldProblem(f"header.{header}", "invalid", f"give {wanted}")
        super().__init__(f"{header}: give {wanted}.", fields=[problem])


class UploadOffsetError(PosthouseError):
    """The bytes do not follow those that are there."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "upload-offset"
    title: ClassVar[str] = "The upload has another offset"


class UploadLockedError(PosthouseError):
    """Another request is adding to this upload."""

    kind: ClassVar[Kind] = Kind.LOCKED
    code: ClassVar[str] = "upload-locked"
    title: ClassVar[str] = "Another request is adding to this upload"


class UploadUnfinishedError(PosthouseError):
    """A part of what is to be put together has not come in yet, or is none of the caller's."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "upload-unfinished"
    title: ClassVar[str] = "A partial upload is not complete"


class ChecksumError(PosthouseError):
    """The bytes that came are not those that were sent; none was kept."""

    kind: ClassVar[Kind] = Kind.CHECKSUM
    code: ClassVar[str] = "checksum-mismatch"
    title: ClassVar[str] = "The checksum does not match"


class StepInputError(InvalidInputError):
    """A step cannot read its file."""

    code: ClassVar[str] = "bad-input"
    title: ClassVar[str] = "The file cannot be read by this step"


class StepUnsafeError(InvalidInputError):
    """A file would cost more than a step may use."""

    code: ClassVar[str] = "unsafe-input"
    title: ClassVar[str] = "The file is not safe to work on"
