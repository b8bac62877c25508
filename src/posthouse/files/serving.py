"""Downloads: whoever has a signed address gets the bytes, and a browser runs none of them."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from starlette.responses import Response, StreamingResponse

from posthouse.files.errors import (
    LinkExpiredError,
    RangeError,
    ResultNotFoundError,
    SignatureInvalidError,
)
from posthouse.files.model import SOURCE, Blob, FileId
from posthouse.files.ranges import Span, disposition, read_range
from posthouse.files.store import files as store
from posthouse.files.urls import PREFIX, Address, Addresses
from posthouse.kernel.blobs import BlobMissingError, Blobs, StorageUnavailableError
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.routing import Routes, service

routes = Routes.of("downloads")

_POLICY = "default-src 'none'; sandbox"
_TAG = re.compile(r'(?:W/)?"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Download:
    """What is handed out: bytes, and how they are called."""

    blob: Blob
    media_type: str
    filename: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Finds what signed addresses lead to."""

    db: Database
    blobs: Blobs
    addresses: Addresses
    clock: Clock

    async def open(self, request: Request, path: tuple[str, str, str]) -> tuple[Address, Download]:
        """Check an address and find what it leads to.

        Raises:
            SignatureInvalidError: it was not made here, or was changed.
            LinkExpiredError: its time is over.
            ResultNotFoundError: what it led to has been deleted.
        """
        query = request.query_params.multi_items()
        now = self.clock.now().timestamp()
        address = self.addresses.read(path, query, now=now)
        owner, file_id = address.workspace_id, address.file_id
        async with self.db.read() as connection:
            if address.name == SOURCE:
                file = await store.find(connection, owner, file_id)
                found = None if file is None else Download(file.blob, file.media_type, file.name)
            else:
                results = await store.results(connection, owner, [file_id])
                found = next(
                    (
                        Download(one.blob, one.media_type, one.filename)
                        for one in results.get(FileId(file_id), ())
                        if one.name == address.name
                    ),
                    None,
                )
        if found is None:
            raise ResultNotFoundError
        return address, found


the_serving = service(Serving)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes.", "content": {"application/octet-stream": {"schema": {}}}},
    206: {"description": "The range that was asked for."},
    304: {"description": "You have these bytes already."},
}


_PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": True,
        "description": "A part of the address that was given out.",
        "schema": {"type": "string"},
    }
    for name in ("as", "exp", "sig")
]


async def download(
    workspace: Annotated[str, Path(description="The id of the workspace.")],
    file_id: Annotated[str, Path(description="The id of the file.")],
    name: Annotated[str, Path(description="A result, or `source`.")],
    request: Request,
    serving: Annotated[Serving, Depends(the_serving)],
) -> Response:
    """Read a file or a result by its signed address; one range at a time may be asked for."""
    address, found = await serving.open(request, (workspace, file_id, name))
    digest = found.blob.sha256.hex()
    left_s = max(0, address.expires_at - int(serving.clock.now().timestamp()))
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={min(left_s, 3600)}, immutable",
        "Content-Disposition": disposition(address.disposition, found.filename, found.media_type),
        "Content-Security-Policy": _POLICY,
        "Content-Type": found.media_type,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": f'"{digest}"',
        "X-Content-Type-Options": "nosniff",
    }
    if digest in _TAG.findall(request.headers.get("if-none-match", "")):
        headers.pop("Content-Type")
        return Response(status_code=304, headers=headers)
    span = _span(request, digest, found.blob.size_bytes)
    status = 200
    if span is not None:
        status = 206
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{found.blob.size_bytes}"
    span = span or Span(0, found.blob.size_bytes)
    headers["Content-Length"] = str(span.size_bytes)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    first = serving.blobs.read(found.blob.key, span.start, span.size_bytes)
    return StreamingResponse(await _begun(first), status, headers=headers)


def _span(request: Request, digest: str, size_bytes: int) -> Span | None:
    """The range that is asked for, unless it is of other bytes (`If-Range`)."""
    condition = request.headers.get("if-range")
    if condition is not None and condition.strip() != f'"{digest}"':
        return None
    return read_range(request.headers.get("range"), size_bytes)


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Read the first piece before the status is sent, so that an outage is told as one."""
    first = await anext(pieces, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()


for _method in ("GET", "HEAD"):
    routes.add(
        _method,
        PREFIX + "/{workspace}/{file_id}/{name}",
        needs=None,
        rate="downloads",
        raises=(
            SignatureInvalidError, LinkExpiredError, ResultNotFoundError, RangeError,
            BlobMissingError, StorageUnavailableError,
        ),
        responses=_ANSWERS,
        response_class=Response,
        takes_any_query=True,
        parameters=_PARAMETERS,
        summary="Download a file" if _method == "GET" else "Look at a download",
    )(download)  # fmt: skip
