"""What the tests of the house need to try the routes of files."""

from typing import Any

from tests.make import Maker

RECIPE: dict[str, Any] = {"steps": {"hash": {"use": "image.placeholder"}}}
BODIES: dict[str, Any] = {
    "POST /files/{file_id}/process": {"recipe": RECIPE},
    "POST /files/{file_id}/link": {},
    "PUT /files/recipes/{name}": RECIPE,
}
HEADERS: dict[str, dict[str, str]] = {
    f"{method} /files/tus/{{upload_id}}": {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    for method in ("HEAD", "PATCH", "DELETE")
}


async def foreign(make: Maker) -> dict[str, str]:
    """A file and an upload of a workspace that the caller has nothing to do with."""
    return {"file_id": await make.file(), "upload_id": await make.upload(), "name": "foreign"}
