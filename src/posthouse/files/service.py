"""The rules of stored files: one method is one use case and one transaction."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from posthouse.files.errors import FileUnknownError, ResultNotFoundError
from posthouse.files.intake import Intake
from posthouse.files.model import (
    FILE,
    SOURCE,
    ChosenRecipe,
    Disposition,
    File,
    FileFilter,
    FileId,
    FileState,
    FileStatus,
    NewBlob,
    NewFile,
    Result,
    Usage,
)
from posthouse.files.recipes import plan
from posthouse.files.store import blobs as blob_store
from posthouse.files.store import files as store
from posthouse.files.urls import Address, Addresses
from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Tx
from posthouse.kernel.jobs import JobQueue
from posthouse.kernel.pagination import Keyset
from posthouse.tasks.public import Task

SWEEP = "files.sweep"


@dataclass(frozen=True, slots=True)
class Files:
    """Stored files: look at them, work on them again, hand them out, delete them."""

    intake: Intake
    jobs: JobQueue
    addresses: Addresses
    clock: Clock

    async def find(self, principal: Principal, file_id: FileId) -> FileState:
        """Find a file of the caller's workspace, and how far the work on it is.

        Raises:
            FileUnknownError: there is none.
        """
        found = await self.find_many(principal, [file_id])
        if file_id not in found:
            raise FileUnknownError
        return found[file_id]

    async def find_many(
        self, principal: Principal, wanted: Sequence[FileId]
    ) -> Mapping[FileId, FileState]:
        """Those of these files that are the caller's."""
        # The rows and their tasks tell of one moment.
        async with self.intake.db.snapshot() as tx:
            files = await store.find_many(tx, principal.workspace_id, wanted)
            states = await self._states(tx, principal, files)
        return {state.file.id: state for state in states}

    async def page(
        self, principal: Principal, wanted: FileFilter, keyset: Keyset
    ) -> list[FileState]:
        """Read one page and one file more, newest first."""
        async with self.intake.db.snapshot() as tx:
            files = await store.page(tx, principal.workspace_id, wanted, keyset)
            return await self._states(tx, principal, files)

    async def _states(self, tx: Tx, principal: Principal, files: Sequence[File]) -> list[FileState]:
        """How far the work on files is: their tasks know, and the rows once those are purged."""
        tasks = await self.intake.tasks.find_many(
            principal, [file.task_id for file in files if file.task_id]
        )
        results = await store.results(tx, principal.workspace_id, [file.id for file in files])
        return [
            _state(file, tasks.get(file.task_id) if file.task_id else None, results.get(file.id))
            for file in files
        ]

    async def again(self, principal: Principal, file_id: FileId, recipe: ChosenRecipe) -> FileId:
        """Work on a file's content by another recipe; the answer is a file of its own.

        Raises:
            FileUnknownError: there is no such file.
            TypeNotAllowedError: a step cannot read it.
        """
        async with self.intake.db.begin() as tx:
            file = await store.find(tx, principal.workspace_id, file_id)
            if file is None:
                raise FileUnknownError
            plan(recipe.steps, file.media_type)
            made = FileId(ids.fresh())
            new = NewFile(file.name, file.declared_type, recipe)
            blob = NewBlob(file.blob.key, file.blob.size_bytes, file.blob.sha256)
            await self.intake.register(tx, principal, made, new, blob, file.media_type)
        return made

    async def delete(self, principal: Principal, file_id: FileId) -> None:
        """Delete a file and its results, and stop the work on it.

        Raises:
            FileUnknownError: there is no such file.
        """
        async with self.intake.db.begin() as tx:
            was_there, task_id = await store.delete(tx, principal.workspace_id, file_id)
            if not was_there:
                raise FileUnknownError
            if task_id is not None:
                await self.intake.tasks.stop(principal, task_id)
            await audit.record(tx, principal, "file.deleted", FILE.show(file_id))
            await self.jobs.enqueue(tx, SWEEP, [{}], dedupe_keys=[SWEEP])

    async def usage(self, principal: Principal) -> Usage:
        """What the caller's workspace has stored."""
        async with self.intake.db.read() as connection:
            used, reserved = await blob_store.usage(connection, principal.workspace_id)
        return Usage(used, reserved, self.intake.settings.quota_bytes)

    async def link(
        self,
        principal: Principal,
        file_id: FileId,
        name: str,
        *,
        ttl_s: int | None,
        disposition: Disposition,
    ) -> tuple[str, int]:
        """An address that a file or a result can be read at by whoever has it; and its end.

        Raises:
            FileUnknownError: there is no such file.
            ResultNotFoundError: the file has no such result.
        """
        state = await self.find(principal, file_id)
        if name != SOURCE and all(result.name != name for result in state.results):
            raise ResultNotFoundError
        expires_at = self._expiry(ttl_s or self.intake.settings.url_ttl_s)
        address = Address(state.file.workspace_id, file_id, name, disposition, expires_at)
        return self.addresses.make(address), expires_at

    def url(self, file: File, name: str) -> str:
        """The address of a file or a result for the usual time, to be saved."""
        expires_at = self._expiry(self.intake.settings.url_ttl_s)
        return self.addresses.make(
            Address(file.workspace_id, file.id, name, Disposition.ATTACHMENT, expires_at)
        )

    def _expiry(self, ttl_s: int) -> int:
        return int((self.clock.now() + timedelta(seconds=ttl_s)).timestamp())

    async def read(
        self, principal: Principal, file_id: FileId
    ) -> tuple[File, AsyncIterator[bytes]]:
        """A file and its bytes.

        Raises:
            FileUnknownError: there is no such file.
        """
        async with self.intake.db.read() as connection:
            file = await store.find(connection, principal.workspace_id, file_id)
        if file is None:
            raise FileUnknownError
        return file, self.intake.blobs.read(file.blob.key)


def _state(file: File, task: Task | None, results: Sequence[Result] | None) -> FileState:
    status = file.outcome or FileStatus.PENDING
    problem: Mapping[str, Any] | None = file.problem
    done, total, message = 0, None, ""
    if task is not None:
        status, problem = FileStatus(task.status), task.error
        done, total, message = task.progress.done, task.progress.total, task.progress.message
    is_done = status is FileStatus.COMPLETED
    return FileState(
        file, status, done, total, message, None if is_done else problem, results or ()
    )
