"""The values of files: ids, choices and frozen records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NewType
from uuid import UUID

from posthouse.kernel.auth import Principal, Role, Scope
from posthouse.kernel.events import Event
from posthouse.kernel.ids import Prefix

FileId = NewType("FileId", UUID)
BlobId = NewType("BlobId", UUID)
FILE = Prefix("fil")
TASK = Prefix("tsk")
WORKSPACE = Prefix("wsp")

READ = Scope("files:read", Role.VIEWER)
WRITE = Scope("files:write", Role.MEMBER)

PROCESS = "files.process"
SOURCE = "source"
"""The name of the upload itself among the things that can be downloaded of a file."""


class FileStatus(StrEnum):
    """How far the work on a file is; one without a recipe is completed once it is stored."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more by itself."""
        return self not in {FileStatus.PENDING, FileStatus.RUNNING}


class Disposition(StrEnum):
    """What a browser does with a download (RFC 6266)."""

    INLINE = "inline"
    ATTACHMENT = "attachment"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a recipe: `use` names its processor, `source` the step whose output it works on.

    Steps lie in a row in the order they are run, so a `source` is always an earlier one or the
    upload (`source`).
    """

    name: str
    use: str
    source: str
    options: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The step as rows keep it."""
        return {
            "name": self.name, "use": self.use, "source": self.source, "options": self.options,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChosenRecipe:
    """The steps that a file goes through, as they were when it came; `name` if they were saved."""

    steps: tuple[Step, ...]
    name: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a sender says of a file: its name and type are told, not trusted."""

    name: str
    declared_type: str
    recipe: ChosenRecipe | None = None
    expires_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that a row makes visible; files of one workspace with the same content share one."""

    id: BlobId
    key: str
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class NewBlob:
    """Bytes that are stored and not visible yet."""

    key: str
    size_bytes: int
    sha256: bytes


class UploadKind(StrEnum):
    """How an upload comes: in one request, by tus, or by tus as a part or sum of parts."""

    SINGLE = "single"
    TUS = "tus"
    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way; `length_bytes` None means that its sender has not said it yet.

    `fence` grows with each request that holds it; only the newest can add to it. The file that it
    becomes has its id.
    """

    id: FileId
    workspace_id: UUID
    created_by: str
    role: Role
    kind: UploadKind
    manner: str
    digest: bytes | None
    new: NewFile
    metadata: str
    length_bytes: int | None
    offset_bytes: int
    reserved_bytes: int
    fence: int
    is_done: bool
    expires_at: datetime

    @property
    def owner(self) -> Principal:
        """Who sends it."""
        return Principal(self.workspace_id, self.created_by, self.role)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have come."""
        return self.length_bytes is not None and self.offset_bytes == self.length_bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of an upload, stored and counted."""

    offset_bytes: int
    size_bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class File:
    """A stored file. `outcome` is how its work ended, unless its task knows better."""

    id: FileId
    workspace_id: UUID
    blob: Blob
    name: str
    declared_type: str
    media_type: str
    recipe: ChosenRecipe | None
    task_id: UUID | None
    outcome: FileStatus | None
    problem: Mapping[str, Any] | None
    receipt: Mapping[str, Any] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Made:
    """An output of a step: its `key` within the step, and facts about it."""

    key: str
    media_type: str
    extension: str
    blob: Blob
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """A result of a file, under the name of its step."""

    name: str
    blob: Blob
    media_type: str
    filename: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileState:
    """A file with all that callers may know: where its work is, and what came of it."""

    file: File
    status: FileStatus
    done: int
    total: int | None
    message: str
    problem: Mapping[str, Any] | None
    results: Sequence[Result]


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files a list shows; None means any. `pattern` is matched with LIKE against names."""

    pattern: str | None = None
    media_type: str | None = None
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workspace has stored, and reserved for uploads under way, in bytes."""

    used_bytes: int
    reserved_bytes: int
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A version of a saved recipe."""

    name: str
    version: int
    steps: tuple[Step, ...]
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FileProcessed(Event):
    """The work on a file is done; `results` are the names of what it made."""

    name: ClassVar[str] = "file.processed"

    file_id: UUID
    results: list[str]


@dataclass(frozen=True, slots=True)
class FileFailed(Event):
    """The work on a file failed for good or was cancelled; `code` says why."""

    name: ClassVar[str] = "file.failed"

    file_id: UUID
    code: str
