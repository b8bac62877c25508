"""Uploads that become tasks: how a caller says what it sends, and what it is answered."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from posthouse.kernel.errors import MediaTypeError
from posthouse.kernel.idempotency import require_key


class Form(StrEnum):
    """How the rows of a file are written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class Mode(StrEnum):
    """What happens when some of the rows are not valid."""

    ALL = "all"
    VALID = "valid"


FORMS = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.NDJSON,
    "application/jsonl": Form.NDJSON,
    "text/csv": Form.CSV,
}


class TaskAccepted(BaseModel):
    """A task that was accepted; `Location` says where to look."""

    task_id: str
    status: Literal["pending"] = "pending"


@dataclass(frozen=True, slots=True)
class Upload:
    """What somebody sends, and what is to be done with it."""

    form: Form
    mode: Mode
    is_dry_run: bool
    key: str | None
    pieces: AsyncIterator[bytes]

    @property
    def manner(self) -> str:
        """All but the bytes, in one text: a key stands for one manner and one content."""
        return f"{self.form} {self.mode} {self.is_dry_run}"


async def read_upload(
    request: Request,
    mode: Annotated[
        Mode, Query(description="all: every row or none; valid: those that are valid.")
    ] = Mode.ALL,
    dry_run: Annotated[bool, Query(description="Check everything and change nothing.")] = False,
) -> Upload:
    """Read what is said about an upload, before its first byte; for `Depends`.

    Raises:
        MediaTypeError: its media type is not one that we read.
        IdempotencyKeyError: the key is not usable.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    form = FORMS.get(media_type)
    if form is None:
        raise MediaTypeError(f"Send one of {', '.join(FORMS)} as Content-Type.")
    key = request.headers.get("idempotency-key")
    if key is not None:
        require_key(key)
    return Upload(form, mode, dry_run, key, request.stream())


UploadDep = Annotated[Upload, Depends(read_upload)]


def accept(response: Response, task_id: str, *, is_replayed: bool) -> TaskAccepted:
    """Answer that a task was accepted, now or at the first request with its key."""
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    response.headers["Retry-After"] = "1"
    if is_replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return TaskAccepted(task_id=task_id)
