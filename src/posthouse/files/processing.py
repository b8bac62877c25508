"""The task that works on a file: its recipe, step by step, and then the results at once."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from posthouse.files.cooking import Cook, Cooked, Dish
from posthouse.files.intake import Measured
from posthouse.files.model import (
    FILE,
    SOURCE,
    Blob,
    File,
    FileFailed,
    FileId,
    FileProcessed,
    FileStatus,
    Made,
    NewBlob,
    Result,
)
from posthouse.files.recipes import Planned, plan, result_filename, result_name, work_of
from posthouse.files.store import blobs as blob_store
from posthouse.files.store import files as store
from posthouse.kernel import events, ids
from posthouse.kernel.blobs import Blobs, fresh_key
from posthouse.kernel.confine import measures
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.work import Ended, Work
from posthouse.kernel.work import Result as TaskResult

_WHOLE = 100  # of the progress of one step
_PIECE = 1_048_576


class ProcessInput(BaseModel):
    """Which file is worked on."""

    file: str


@dataclass(frozen=True, slots=True)
class Processing:
    """Runs `files.process`."""

    db: Database
    blobs: Blobs
    folder: Path

    async def run(self, given: ProcessInput, work: Work) -> TaskResult | None:
        """Work on a file; a second run of the same steps finds what the first one made."""
        file_id = FileId(FILE.read(given.file))
        async with self.db.read() as connection:
            file = await store.find(connection, work.principal.workspace_id, file_id)
        if file is None or file.recipe is None:
            return {"file": given.file, "results": []}  # deleted meanwhile
        async with self._folder(work.id) as folder:
            run = _Run(self, work, file, folder, Cook(work.sandbox))
            await run.all_steps(plan(file.recipe.steps, file.media_type))
            await run.publish()
        return None

    @asynccontextmanager
    async def _folder(self, task_id: UUID) -> AsyncGenerator[Path]:
        """A folder of this run alone; gone with it."""
        folder = self.folder / f"{task_id.hex}-{ids.fresh().hex}"
        folder = await asyncio.to_thread(_made, folder)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def mourn(self, tx: Tx, ended: Ended) -> None:
        """Note with the file that its work failed or was cancelled, and tell."""
        file_id = FileId(FILE.read(ended.input["file"]))
        outcome = FileStatus(ended.status)
        if await store.end(tx, ended.workspace_id, file_id, outcome, problem=ended.error):
            code = str((ended.error or {}).get("code", outcome))
            await events.announce(tx, FileFailed(ended.workspace_id, file_id, code))


@dataclass(slots=True)
class _Content:
    """What a step may work on: bytes that rows know, and a copy of them here if there is one."""

    blob: Blob
    extension: str
    path: Path | None = None


@dataclass(slots=True)
class _Run:
    """One run of all steps of a file."""

    processing: Processing
    work: Work
    file: File
    folder: Path
    cook: Cook
    contents: dict[str, _Content] = field(default_factory=dict[str, _Content])
    results: list[Result] = field(default_factory=list[Result])
    receipts: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    async def all_steps(self, planned: Sequence[Planned]) -> None:
        """Run the steps in order."""
        extension = self.file.name.rpartition(".")[2].lower() if "." in self.file.name else ""
        self.contents[SOURCE] = _Content(self.file.blob, extension)
        total = _WHOLE * len(planned)
        for number, one in enumerate(planned):
            await self.work.progress(_WHOLE * number, total, one.step.name)
            source = self.contents[one.step.source]
            engines = await self.cook.engines(one.step.use)
            name = work_of(source.blob.sha256, one.step, engines, source.extension)
            made = await self._known(name)
            if not made:
                made = await self._make(number, total, one, source, name)
            else:
                self._note(one, source, made, None)
            self._take(one, made)
        await self.work.progress(total, total, "")

    async def _known(self, name: bytes) -> list[Made]:
        async with self.processing.db.begin() as tx:
            return await blob_store.made(tx, self.file.workspace_id, name)

    async def _make(
        self, number: int, total: int, one: Planned, source: _Content, name: bytes
    ) -> list[Made]:
        path = await self._local(source, one.step.source)

        async def tell(done: int, of: int | None, message: str) -> None:
            share = min(_WHOLE - 1, _WHOLE * done // of) if of else 0
            words = f"{one.step.name}: {message}" if message else one.step.name
            await self.work.progress(_WHOLE * number + share, total, words)

        cooked = await self.cook.run(
            one, path, self.file.name, self.folder / "steps" / one.step.name, tell
        )
        stored = [await self._store(dish) for dish in cooked.outputs]
        made = await self._keep(source, name, cooked.outputs, stored)
        self._note(one, source, made, cooked)
        self.contents[one.step.name] = _Content(
            made[0].blob, made[0].extension, cooked.outputs[0].path
        )
        return made

    async def _local(self, content: _Content, name: str) -> Path:
        """A file of this machine with the bytes; it is a link if children cannot write to it."""
        if content.path is None:
            folder = self.folder / "in"
            await asyncio.to_thread(folder.mkdir, exist_ok=True)
            content.path = folder / name
            may_share = any(one.startswith("landlock") for one in measures())
            await self.processing.blobs.fetch(content.blob.key, content.path, may_share=may_share)
        return content.path

    async def _store(self, dish: Dish) -> NewBlob:
        key = fresh_key("blobs")
        source = Measured(_read(dish.path), lambda _: None)
        await self.processing.blobs.write(key, source.flow())
        return NewBlob(key, source.size_bytes, source.digest())

    async def _keep(
        self, source: _Content, name: bytes, dishes: Sequence[Dish], stored: Sequence[NewBlob]
    ) -> list[Made]:
        """Make what a step made visible, and remember it for the next who wants the same."""
        owner = self.file.workspace_id
        async with self.processing.db.begin() as tx:
            made = [
                Made(
                    dish.key, dish.media_type, dish.extension,
                    await blob_store.keep(tx, owner, blob), dish.facts,
                )
                for dish, blob in zip(dishes, stored, strict=True)
            ]  # fmt: skip
            await blob_store.keep_made(tx, owner, name, source.blob.id, made)
            # Another run of the same work may have been first; then its outputs count.
            made = await blob_store.made(tx, owner, name) or made
        known = {one.blob.key for one in made}
        await self.processing.blobs.delete([one.key for one in stored if one.key not in known])
        return made

    def _take(self, one: Planned, made: Sequence[Made]) -> None:
        """Add the outputs of a step to the results, and to what later steps may work on."""
        self.contents.setdefault(one.step.name, _Content(made[0].blob, made[0].extension))
        for output in made:
            name = result_name(one.step.name, output.key)
            filename = result_filename(self.file.name, name, output.extension)
            self.results.append(
                Result(name, output.blob, output.media_type, filename, output.facts)
            )

    def _note(
        self, one: Planned, source: _Content, made: Sequence[Made], cooked: Cooked | None
    ) -> None:
        """Write the receipt of a step: what it read and made, by what, and what that cost."""
        cost: Mapping[str, Any] = {}
        if cooked is not None:
            cost = {
                "engines": cooked.engines,
                "cpu_s": round(cooked.receipt.cpu_s, 3),
                "peak_bytes": cooked.receipt.peak_bytes,
                "took_s": cooked.took_s,
                "tries": cooked.tries,
                "isolation": cooked.receipt.isolation,
            }
        self.receipts.append(
            {
                "step": one.step.name,
                "use": one.step.use,
                "version": one.processor.version,
                "is_reused": cooked is None,
                "input_sha256": source.blob.sha256.hex(),
                "output_sha256": [output.blob.sha256.hex() for output in made],
                **cost,
            }
        )

    async def publish(self) -> None:
        """Make all results visible in the transaction that completes the task."""
        owner, file = self.file.workspace_id, self.file
        names = [result.name for result in self.results]
        async with self.work.finishing() as ending:
            receipt = {"attempt": self.work.attempt, "steps": self.receipts}
            if await store.end(ending.tx, owner, file.id, FileStatus.COMPLETED, receipt=receipt):
                await store.put_results(ending.tx, owner, file.id, self.results)
                await events.announce(ending.tx, FileProcessed(owner, file.id, names))
            ending.result = {"file": FILE.show(file.id), "results": names}


def _made(folder: Path) -> Path:
    """Make a folder for us alone; give its place in full, as a child is told it."""
    folder.mkdir(parents=True, mode=0o700)
    return folder.resolve()


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb", 0) as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            yield piece
