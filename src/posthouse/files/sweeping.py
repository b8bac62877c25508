"""Keeps house: what is over, what nobody refers to, what died half-way."""

import asyncio
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from posthouse.files.store import blobs as blob_store
from posthouse.files.store import files as store
from posthouse.files.store import uploads as upload_store
from posthouse.kernel.blobs import Blobs
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.jobs import Payload

_BATCH = 500
_ABANDONED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Deletes bytes and rows that nothing needs. Every method is safe to repeat."""

    db: Database
    blobs: Blobs
    clock: Clock
    folder: Path
    orphan_s: int

    async def heard(self, payload: Payload) -> None:
        """Sweep because something was deleted."""
        del payload
        await self.sweep()

    async def sweep(self) -> None:
        """End what has expired, then delete the bytes that nothing refers to any more."""
        async with self.db.begin() as tx:
            for owner, reserved in await upload_store.drop_stale(tx, _BATCH):
                await blob_store.release(tx, owner, reserved)
            await store.expire(tx, _BATCH)
        while True:
            async with self.db.begin() as tx:
                keys = await blob_store.sweep(tx, _BATCH)
            await self.blobs.delete(keys)  # what fails here is an orphan, and swept as one
            if len(keys) < _BATCH:
                return

    async def sweep_orphans(self) -> int:
        """Delete old bytes that no row knows, and give how many objects that were."""
        age = timedelta(seconds=self.orphan_s)
        before = self.clock.now() - age
        removed = await self.blobs.tidy(age)
        await asyncio.to_thread(self._sweep_folder)
        for prefix in ("blobs", "parts"):
            old: list[str] = []
            async for stored in self.blobs.walk(prefix):
                if stored.modified_at < before:
                    old.append(stored.key)
                if len(old) >= _BATCH:
                    removed += await self._delete_unknown(old)
                    old.clear()
            removed += await self._delete_unknown(old)
        return removed

    async def _delete_unknown(self, keys: list[str]) -> int:
        async with self.db.read() as connection:
            known = await blob_store.known(connection, keys)
        unknown = [key for key in keys if key not in known]
        await self.blobs.delete(unknown)
        return len(unknown)

    def _sweep_folder(self) -> None:
        """Remove the folders of runs whose workers died long ago."""
        if not self.folder.is_dir():
            return
        for one in self.folder.iterdir():
            if one.stat().st_mtime < self.clock.now().timestamp() - _ABANDONED_S:
                shutil.rmtree(one, ignore_errors=True)
