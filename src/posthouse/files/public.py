"""The front door of files."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from posthouse.files.cooking import Tell
from posthouse.files.errors import FileUnknownError, TypeNotAllowedError
from posthouse.files.intake import Intake, Measured
from posthouse.files.model import (
    FILE,
    SOURCE,
    ChosenRecipe,
    File,
    FileFailed,
    FileId,
    FileProcessed,
    FileState,
    FileStatus,
    NewBlob,
    NewFile,
)
from posthouse.files.recipes import read_steps
from posthouse.files.service import Files
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import fresh_key
from posthouse.kernel.db import Tx

if TYPE_CHECKING:
    from posthouse.files.alone import Saved

__all__ = [
    "FILE", "SOURCE", "File", "FileFailed", "FileId", "FileProcessed", "FileState", "FileStatus",
    "FileUnknownError", "FilesDoor", "StoredBytes", "TypeNotAllowedError",
    "process_file",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Bytes that are stored and become a file with `FilesDoor.make`."""

    blob: NewBlob
    media_type: str


@dataclass(frozen=True, slots=True)
class FilesDoor:
    """What other slices may ask of files; inside `db.begin()` it joins their transaction."""

    files: Files
    intake: Intake

    async def find_many(
        self, principal: Principal, wanted: Sequence[UUID]
    ) -> Mapping[FileId, FileState]:
        """Those of these files that are the caller's, and how far the work on each is."""
        return await self.files.find_many(principal, [FileId(one) for one in wanted])

    async def read(
        self, principal: Principal, file_id: FileId
    ) -> tuple[File, AsyncIterator[bytes]]:
        """A file and its bytes.

        Raises:
            FileUnknownError: there is no such file.
        """
        return await self.files.read(principal, file_id)

    async def again(
        self, principal: Principal, file_id: FileId, recipe: Mapping[str, Any]
    ) -> FileId:
        """Work on a file's content by a recipe; the answer is a file of its own.

        Raises:
            FileUnknownError: there is no such file.
            TypeNotAllowedError: a step cannot read it.
        """
        return await self.files.again(principal, file_id, ChosenRecipe(read_steps(recipe)))

    async def delete(self, principal: Principal, file_id: FileId) -> None:
        """Delete a file with its results; one that is gone is no error."""
        with suppress(FileUnknownError):
            await self.files.delete(principal, file_id)

    async def store(self, new_name: str, pieces: AsyncIterator[bytes]) -> StoredBytes:
        """Store bytes of our own making; they count once `make` has made a file of them.

        Raises:
            StorageFullError: there is no space left.
            StorageUnavailableError: the store does not answer.
        """
        source = Measured(pieces, lambda _: None)
        blob = await self.intake.put(fresh_key("blobs"), source)
        return StoredBytes(blob, self.intake.require_type(source.head, NewFile(new_name, "")))

    async def make(
        self,
        tx: Tx,
        principal: Principal,
        name: str,
        stored: StoredBytes,
        recipe: Mapping[str, Any] | None,
    ) -> FileId:
        """Make a file of stored bytes in the caller's transaction, and queue its work."""
        chosen = None if recipe is None else ChosenRecipe(read_steps(recipe))
        file_id = FileId(ids.fresh())
        new = NewFile(name, stored.media_type, chosen)
        await self.intake.register(tx, principal, file_id, new, stored.blob, stored.media_type)
        return file_id

    def url(self, file: File, name: str = SOURCE) -> str:
        """A signed address of a file or a result, for the usual time."""
        return self.files.url(file, name)


async def process_file(path: Path, recipe: Path, output: Path, tell: Tell) -> "list[Saved]":
    """Work on a file of this machine by a recipe in a file, without a server.

    Raises:
        SystemExit: the recipe cannot be read.
        PosthouseError: the recipe breaks a rule, or a step failed.
    """
    from posthouse.files.alone import process_alone  # noqa: PLC0415  only a command needs them
    from posthouse.files.recipefiles import read_recipe  # noqa: PLC0415

    return await process_alone(path, read_recipe(recipe), output, tell)
