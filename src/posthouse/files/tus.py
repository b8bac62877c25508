"""tus 1.0 over HTTP: resumable uploads, with all of its extensions.

Source: tus resumable upload protocol 1.0.0 (Core, Creation, Creation With Upload, Creation Defer
Length, Checksum, Expiration, Termination, Concatenation).
"""

from collections.abc import AsyncIterator
from email.utils import format_datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from posthouse.files.appending import ALGORITHMS
from posthouse.files.bodies import body_of, expiry_of, name_of
from posthouse.files.cookbook import Cookbook
from posthouse.files.errors import (
    ChecksumError,
    EmptyFileError,
    FileTooLargeError,
    QuotaExceededError,
    RecipeInvalidError,
    RecipeNotFoundError,
    TusHeaderError,
    TusVersionError,
    TypeNotAllowedError,
    UnknownProcessorError,
    UploadCutError,
    UploadLockedError,
    UploadNotFoundError,
    UploadOffsetError,
    UploadUnfinishedError,
)
from posthouse.files.model import FILE, WRITE, FileId, NewFile, Upload, UploadKind
from posthouse.files.resuming import Resumables
from posthouse.files.settings import FilesSettings
from posthouse.files.tusheaders import checksum_of, length_of, number_of, parts_of, read_metadata
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import StorageUnavailableError
from posthouse.kernel.errors import MediaTypeError, StorageFullError
from posthouse.kernel.routing import Routes, current_principal, service

routes = Routes.of("files")

PATH = "/files/tus"
VERSION = "1.0.0"
OFFSET_TYPE = "application/offset+octet-stream"
EXTENSIONS = (
    "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,"
    "concatenation"
)

the_resumables = service(Resumables)
the_cookbook = service(Cookbook)
the_settings = service(FilesSettings)


async def require_version(request: Request, response: Response) -> None:
    """Speak tus 1.0.0 with those who do; for `Depends`.

    Raises:
        TusVersionError: the caller speaks another version, or none.
    """
    if request.headers.get("tus-resumable") != VERSION:
        raise TusVersionError
    response.headers["Tus-Resumable"] = VERSION


Caller = Annotated[Principal, Depends(current_principal)]
ResumablesDep = Annotated[Resumables, Depends(the_resumables)]
UploadPath = Annotated[str, Path(description="The id of the upload, which its file will have.")]
Spoken = Annotated[None, Depends(require_version)]

_STORES = (
    TusVersionError, FileTooLargeError, QuotaExceededError, StorageFullError,
    StorageUnavailableError, TypeNotAllowedError, EmptyFileError, UnknownProcessorError,
    UploadCutError, MediaTypeError,
)  # fmt: skip


_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


_VERSION_HEADER = _header("Tus-Resumable", "1.0.0")
_OFFSET_HEADER = _header("Upload-Offset", "How many bytes are there.")
_LENGTH_HEADER = _header("Upload-Length", "How many bytes the whole has.")
_CHECKSUM_HEADER = _header("Upload-Checksum", "sha1, sha256 or md5, a blank, and base64.")


@routes.add("OPTIONS", PATH, needs=None, status=204, summary="Ask what this tus server can")
async def options(
    response: Response, settings: Annotated[FilesSettings, Depends(the_settings)]
) -> None:
    """Tell versions, extensions and the largest upload."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Max-Size"] = str(settings.max_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)


@routes.add(
    "POST", PATH, needs=WRITE, streams=(OFFSET_TYPE,), stream_schema=_BYTES, keeps_key=False,
    status=201,
    raises=(*_STORES, UploadUnfinishedError, RecipeInvalidError, RecipeNotFoundError),
    parameters=(
        _VERSION_HEADER, _LENGTH_HEADER, _CHECKSUM_HEADER,
        _header("Upload-Defer-Length", "1: the length is said later."),
        _header("Upload-Metadata", "filename, filetype, recipe and expires_in, in base64."),
        _header("Upload-Concat", "partial; or final;URL URL …"),
    ),
    summary="Begin a resumable upload",
)  # fmt: skip
async def create(
    spoken: Spoken,
    request: Request,
    response: Response,
    caller: Caller,
    resumables: ResumablesDep,
    cookbook: Annotated[Cookbook, Depends(the_cookbook)],
) -> None:
    """Begin an upload; a body may bring its first bytes. The place of the upload is `Location`.

    Raises:
        TusHeaderError: a header cannot be read.
    """
    del spoken
    metadata = request.headers.get("upload-metadata", "")
    new = await _new_file(caller, cookbook, metadata)
    concat = request.headers.get("upload-concat", "")
    if concat.startswith("final;"):
        parts = parts_of(concat)
        made = await resumables.concatenate(caller, new, parts, metadata=metadata)
    else:
        if concat not in {"", "partial"}:
            raise TusHeaderError("upload-concat", "partial, or final; and URLs")
        made = await resumables.create(
            caller,
            new,
            length_bytes=length_of(request.headers),
            metadata=metadata,
            is_partial=concat == "partial",
        )
    response.headers["Location"] = f"/api/v1{PATH}/{FILE.show(made.id)}"
    if request.headers.get("content-type"):
        made = await resumables.append(
            caller, made.id, 0, _bytes(request), checksum=checksum_of(request.headers)
        )
    if made.kind is not UploadKind.FINAL:
        response.headers["Upload-Offset"] = str(made.offset_bytes)
    response.headers["Upload-Expires"] = format_datetime(made.expires_at, usegmt=True)


@routes.add(
    "HEAD", PATH + "/{upload_id}", needs=WRITE, raises=(TusVersionError, UploadNotFoundError),
    parameters=(_VERSION_HEADER,), summary="Ask how much of an upload is there",
)  # fmt: skip
async def look(
    upload_id: UploadPath,
    spoken: Spoken,
    response: Response,
    caller: Caller,
    resumables: ResumablesDep,
) -> None:
    """Tell how many bytes are there, in `Upload-Offset`."""
    del spoken
    upload = await resumables.find(caller, _id(upload_id))
    response.headers["Cache-Control"] = "no-store"
    response.headers["Upload-Offset"] = str(upload.offset_bytes)
    response.headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    if upload.length_bytes is None:
        response.headers["Upload-Defer-Length"] = "1"
    else:
        response.headers["Upload-Length"] = str(upload.length_bytes)
    if upload.metadata:
        response.headers["Upload-Metadata"] = upload.metadata
    if upload.kind is UploadKind.PARTIAL:
        response.headers["Upload-Concat"] = "partial"
    elif upload.kind is UploadKind.FINAL:
        response.headers["Upload-Concat"] = _final(upload)


@routes.add(
    "PATCH", PATH + "/{upload_id}", needs=WRITE, streams=(OFFSET_TYPE,), stream_schema=_BYTES,
    keeps_key=False, status=204,
    raises=(
        *_STORES, UploadNotFoundError, UploadOffsetError, UploadLockedError, ChecksumError,
    ),
    parameters=(_VERSION_HEADER, _OFFSET_HEADER, _LENGTH_HEADER, _CHECKSUM_HEADER),
    summary="Add bytes to an upload",
)  # fmt: skip
async def append(
    upload_id: UploadPath,
    spoken: Spoken,
    request: Request,
    response: Response,
    caller: Caller,
    resumables: ResumablesDep,
) -> None:
    """Add the bytes of the body at `Upload-Offset`; with the last ones the upload is a file.

    Raises:
        TusHeaderError: `Upload-Offset` is missing.
    """
    del spoken
    offset = number_of(request.headers, "upload-offset")
    if offset is None:
        raise TusHeaderError("upload-offset", "how many bytes are there")
    grown = await resumables.append(
        caller,
        _id(upload_id),
        offset,
        _bytes(request),
        length_bytes=number_of(request.headers, "upload-length"),
        checksum=checksum_of(request.headers),
    )
    response.headers["Upload-Offset"] = str(grown.offset_bytes)
    response.headers["Upload-Expires"] = format_datetime(grown.expires_at, usegmt=True)


@routes.delete(PATH + "/{upload_id}", needs=WRITE, raises=(TusVersionError, UploadNotFoundError),
               parameters=(_VERSION_HEADER,), summary="End an upload")  # fmt: skip
async def end(
    upload_id: UploadPath, spoken: Spoken, caller: Caller, resumables: ResumablesDep
) -> None:
    """End an upload, and delete what has come of it; a file that it has become stays."""
    del spoken
    await resumables.end(caller, _id(upload_id))


def _id(text: str) -> FileId:
    return FileId(FILE.read(text))


def _bytes(request: Request) -> AsyncIterator[bytes]:
    """The body, which must be declared as what it is.

    Raises:
        MediaTypeError: it is not.
    """
    if request.headers.get("content-type", "").strip().lower() != OFFSET_TYPE:
        raise MediaTypeError(f"Send Content-Type: {OFFSET_TYPE}.")
    return body_of(request)


def _final(upload: Upload) -> str:
    urls = (f"/api/v1{PATH}/{one}" for one in upload.manner.split())
    return f"final;{' '.join(urls)}"


async def _new_file(caller: Principal, cookbook: Cookbook, metadata: str) -> NewFile:
    """What is said of a file by `Upload-Metadata`; nothing has to be."""
    said = read_metadata(metadata)
    recipe = said.get("recipe")
    return NewFile(
        name=name_of(said.get("filename") or said.get("name"), "header.upload-metadata"),
        declared_type=(said.get("filetype") or said.get("type") or "")[:200],
        recipe=await cookbook.choose(caller, recipe, "header.upload-metadata") if recipe else None,
        expires_in_s=expiry_of(said.get("expires_in"), "header.upload-metadata"),
    )
