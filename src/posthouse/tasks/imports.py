"""Imports: a file is taken in piece by piece, becomes a task, and leaves a report of its rows."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel

from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, InvalidInputError, TooLargeError
from posthouse.kernel.idempotency import IdempotencyInFlightError, IdempotencyMismatchError
from posthouse.kernel.sandbox import Child, SandboxLimits
from posthouse.kernel.uploads import Form, Mode, Upload
from posthouse.kernel.work import Work, WorkKind
from posthouse.tasks.errors import TaskNotFoundError
from posthouse.tasks.importing import SHOWN, ImportKind, RowProblem, Tally
from posthouse.tasks.model import TASK, NewTask, TaskId
from posthouse.tasks.service import Tasks
from posthouse.tasks.store import imports as store

_PIECE = 262_144
_REPORT_PAGE = 1000
_LIMITS = SandboxLimits(memory_bytes=1024 * 1024 * 1024, cpu_s=120, wall_s=540)
_TIMEOUT_S = 1200.0


class ImportRejectedError(InvalidInputError):
    """Some rows are not valid, so none was imported."""

    code: ClassVar[str] = "import-rejected"
    title: ClassVar[str] = "Nothing was imported"


class EmptyUploadError(InvalidInputError):
    """There were no bytes."""

    code: ClassVar[str] = "upload-empty"
    title: ClassVar[str] = "The file is empty"


class _UndoneError(Exception):
    """Ends a transaction without keeping anything of it."""


class ImportInput(BaseModel):
    """How a file that was sent is to be read."""

    form: Form
    mode: Mode
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Imports:
    """Takes files of rows in and imports them as tasks."""

    db: Database
    tasks: Tasks
    max_bytes: int

    async def receive(self, principal: Principal, kind: str, upload: Upload) -> tuple[UUID, bool]:
        """Take a file in; give its task, and whether it is that of an earlier request.

        Nothing of it is held in memory but a piece, and no transaction waits for the sender.

        Raises:
            TooLargeError: it has more bytes than may be imported.
            EmptyUploadError: it has none.
            IdempotencyInFlightError: another request with the key has not ended.
            IdempotencyMismatchError: the key belongs to another file or manner.
        """
        task_id, manner = TaskId(ids.fresh()), f"{kind} {upload.manner}"
        async with self.db.begin() as tx:
            is_new = await store.start(tx, task_id, principal, upload.key, manner)
        if not is_new:
            return await self._earlier(principal, manner, upload), True
        try:
            digest, size = await self._keep(task_id, upload.pieces)
            given = ImportInput(form=upload.form, mode=upload.mode, dry_run=upload.is_dry_run)
            new = NewTask(kind, given.model_dump(mode="json"))
            async with self.db.begin() as tx:
                await store.finish(tx, task_id, digest, size)
                await self.tasks.submit(principal, new, task_id=task_id)
        except BaseException:
            async with self.db.begin() as tx:
                await store.drop(tx, task_id)
            raise
        return task_id, False

    async def _keep(self, task_id: TaskId, pieces: AsyncIterator[bytes]) -> tuple[bytes, int]:
        digest, size = hashlib.sha256(), 0
        number = 0
        async for piece in self._sized(pieces):
            digest.update(piece)
            size += len(piece)
            async with self.db.begin() as tx:
                await store.add_piece(tx, task_id, number, piece)
            number += 1
        if size == 0:
            raise EmptyUploadError(fields=[FieldProblem("body", "missing", "send the rows")])
        return digest.digest(), size

    async def _sized(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Give the bytes in pieces of a good size.

        Raises:
            TooLargeError: there are more than may be imported.
        """
        held, total = bytearray(), 0
        async for piece in pieces:
            total += len(piece)
            if total > self.max_bytes:
                raise TooLargeError(
                    f"At most {self.max_bytes} bytes are imported at once.",
                    headers={"Connection": "close"},
                )
            held += piece
            while len(held) >= _PIECE:
                yield bytes(held[:_PIECE])
                del held[:_PIECE]
        if held:
            yield bytes(held)

    async def _earlier(self, principal: Principal, manner: str, upload: Upload) -> UUID:
        """The task of the first request with this key, if this one is the same.

        Raises:
            IdempotencyInFlightError: the first request has not ended.
            IdempotencyMismatchError: it was another file or manner.
        """
        async with self.db.read() as connection:
            found = await store.earlier(connection, principal, upload.key or "")
        if found is None or found.digest is None:
            raise IdempotencyInFlightError(retry_after_s=1)
        digest = hashlib.sha256()
        async for piece in self._sized(upload.pieces):
            digest.update(piece)
        if found.manner != manner or found.digest != digest.digest():
            raise IdempotencyMismatchError
        return found.task_id

    def work_kind(self, kind: ImportKind) -> WorkKind:
        """The kind of task that imports rows of `kind`; callers start it by sending a file."""

        async def run(given: ImportInput, work: Work) -> dict[str, Any]:
            await _Import(self.db, kind, given, work).run()
            return {}

        return WorkKind(kind.name, ImportInput, run, kind.summary, timeout_s=_TIMEOUT_S)

    async def report(self, principal: Principal, task_id: TaskId) -> AsyncIterator[RowProblem]:
        """All that was wrong with the rows of an import, in the order of the file.

        Raises:
            TaskNotFoundError: there is no such task in the caller's workspace.
        """
        task = await self.tasks.find(principal, task_id)
        if not task.kind.endswith(".import"):
            raise TaskNotFoundError("This task is no import.")
        return self._report(principal, task_id)

    async def _report(self, principal: Principal, task_id: TaskId) -> AsyncGenerator[RowProblem]:
        after = 0
        while True:
            async with self.db.read() as connection:
                found = await store.problems(
                    connection, principal.workspace_id, task_id, after, _REPORT_PAGE
                )
            for _, problem in found:
                yield problem
            if len(found) < _REPORT_PAGE:
                return
            after = found[-1][0]

    async def purge(self) -> None:
        """Delete what belongs to no task. Safe to repeat."""
        async with self.db.begin() as tx:
            await store.purge(tx)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a child tells of some rows: how many bytes it has read, and what is in them."""

    read: int
    rows: list[tuple[int, Any]]
    problems: list[RowProblem]


@dataclass(slots=True)
class _Import:
    """One run of an import: check all rows, then write them in one transaction."""

    db: Database
    kind: ImportKind
    given: ImportInput
    work: Work

    async def run(self) -> None:
        async with self.db.begin() as tx:
            await store.clear_problems(tx, self.work.id)
            size = await store.size_bytes(tx, self.work.id)
        tally, first = await self._check(size)
        if tally.rejected and self.given.mode is Mode.ALL and not self.given.dry_run:
            raise self._rejection(tally, first)
        try:
            await self._write(size, tally, first)
        except _UndoneError:
            if not self.given.dry_run:
                raise self._rejection(tally, first) from None
            async with self.work.finishing() as ending:
                ending.result = self._result(tally, first)

    async def _check(self, size: int) -> tuple[Tally, list[RowProblem]]:
        tally = Tally()
        first: list[RowProblem] = []
        async with self._batches() as batches:
            async for batch in batches:
                tally.rows += len(batch.rows) + len({one.row for one in batch.problems})
                await self._note(batch.problems, tally, first)
                await self.work.progress(batch.read // 2, size, "checking")
        return tally, first

    async def _write(self, size: int, tally: Tally, first: list[RowProblem]) -> None:
        """Write all valid rows.

        Raises:
            _UndoneError: nothing was kept, as rows are refused that had to go in, or as asked.
        """
        refused: list[RowProblem] = []
        try:
            async with self._batches() as batches, self.work.finishing() as ending:
                async for batch in batches:
                    found = await self.kind.write(ending.tx, self.work.principal, batch.rows)
                    refused += found
                    tally.imported += len(batch.rows) - len(found)
                    await self.work.progress((size + batch.read) // 2, size, "writing")
                self._require_all(refused)
                await self._note_in(ending.tx, refused, tally, first)
                await store.drop_pieces(ending.tx, self.work.id)
                ending.result = self._result(tally, first)
        except _UndoneError:
            tally.imported = 0
            await self._note(refused, tally, first)
            raise

    def _require_all(self, refused: Sequence[RowProblem]) -> None:
        """Go on if what was written may stay.

        Raises:
            _UndoneError: it may not, as rows are missing that had to go in, or as asked.
        """
        if self.given.dry_run or (refused and self.given.mode is Mode.ALL):
            raise _UndoneError

    async def _note(
        self, problems: Sequence[RowProblem], tally: Tally, first: list[RowProblem]
    ) -> None:
        if problems:
            async with self.db.begin() as tx:
                await self._note_in(tx, problems, tally, first)

    async def _note_in(
        self, tx: Tx, problems: Sequence[RowProblem], tally: Tally, first: list[RowProblem]
    ) -> None:
        tally.rejected += len({one.row for one in problems})
        first += problems[: max(0, SHOWN - len(first))]
        if problems:
            owner = self.work.principal.workspace_id
            await store.add_problems(tx, self.work.id, owner, problems)

    def _result(self, tally: Tally, first: Sequence[RowProblem]) -> Any:
        report = f"/api/v1/tasks/{TASK.show(self.work.id)}/report"
        return tally.result(first, report, is_dry_run=self.given.dry_run)

    def _rejection(self, tally: Tally, first: Sequence[RowProblem]) -> ImportRejectedError:
        words = (
            f"{tally.rejected} of {tally.rows} rows cannot be imported, so none was. Mend them, or "
            f"send mode=valid. All of them: /api/v1/tasks/{TASK.show(self.work.id)}/report"
        )
        return ImportRejectedError(words, fields=[one.as_field() for one in first])

    @asynccontextmanager
    async def _batches(self) -> AsyncGenerator[AsyncIterator[Batch]]:
        """The rows of the file, as a child reads and checks them."""
        asked = {"form": self.given.form, "model": self.kind.model}
        try:
            async with (
                self.work.sandbox.open("posthouse.kernel.rows:check", asked, _LIMITS) as child,
                asyncio.TaskGroup() as group,
            ):
                # In a context of its own: the pieces are read beside the transaction that writes.
                group.create_task(self._feed(child), context=Context())
                yield _heard(child)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # what else it holds follows from that

    async def _feed(self, child: Child) -> None:
        number = 0
        while True:
            async with self.db.read() as connection:
                piece = await store.piece(connection, self.work.id, number)
            if piece is None:
                child.end()
                return
            await child.send(piece)
            number += 1


async def _heard(child: Child) -> AsyncGenerator[Batch]:
    while (message := await child.receive()) is not None:
        told = json.loads(message)
        rows = [(number, row) for number, row in told["rows"]]
        yield Batch(told["read"], rows, [RowProblem(*one) for one in told["problems"]])
    child.require_result()
