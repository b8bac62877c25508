"""Looks behind the API: whether rows, bytes and counts of files agree with what was promised."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import cast

import httpx

from posthouse.files.resuming import Resumables
from posthouse.files.sweeping import Sweeping
from posthouse.runtime import Runtime
from tests.chaos.senders import Senders
from tests.files.sending import look

WITHIN_S = 60.0


async def assert_kept(
    runtime: Runtime, client: httpx.AsyncClient, senders: Senders, folder: Path
) -> None:
    """What was accepted is there as it was sent; nothing else is visible, counted or left over."""
    await end_uploads(runtime)
    for file_id, digest in senders.accepted.items():
        shown = await look(client, file_id)
        assert shown["sha256"] == digest.hex(), file_id
        address = httpx.URL(shown["url"]).raw_path.decode()
        async with client.stream("GET", address) as answer:
            assert answer.status_code == 200, file_id
            assert await digest_of(answer.aiter_bytes()) == digest, file_id
    async with runtime.parts.db.read() as connection:
        visible = await connection.fetch(
            "SELECT f.id, b.sha256 FROM files f JOIN blobs b ON b.id = f.blob_id"
        )
        blobs = await connection.fetch("SELECT key, size_bytes, sha256 FROM blobs")
        usage = await connection.fetch(
            "SELECT u.workspace_id, u.used_bytes, u.reserved_bytes, coalesce(sum(b.size_bytes), 0) "
            "AS size_bytes FROM file_usage u LEFT JOIN blobs b USING (workspace_id) "
            "GROUP BY u.workspace_id"
        )
    partial = [row["id"] for row in visible if row["sha256"] not in senders.sent]
    assert not partial, "visible, and nobody sent it so"
    for row in blobs:
        assert await digest_of(runtime.parts.blobs.read(row["key"])) == row["sha256"]
    assert [row["used_bytes"] for row in usage] == [row["size_bytes"] for row in usage]
    assert {row["reserved_bytes"] for row in usage} <= {0}
    await assert_no_orphans(runtime, {row["key"] for row in blobs}, folder)


async def end_uploads(runtime: Runtime) -> None:
    """Let time pass: what is whole becomes a file, and what nobody goes on with is over."""
    resumables = cast("Resumables", runtime.services[Resumables])
    sweeping = cast("Sweeping", runtime.services[Sweeping])
    whole = "SELECT FROM uploads WHERE kind = 'tus' AND NOT is_done AND offset_bytes = length_bytes"
    until = monotonic() + WITHIN_S
    while True:
        await resumables.finish_left()
        async with runtime.parts.db.read() as connection:
            if not await connection.fetch(whole):
                break
        assert monotonic() < until, "an upload that has all its bytes does not become a file"
        await asyncio.sleep(0.1)
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE uploads SET expires_at = now() - interval '1 s', "
            "lease_until = now() - interval '1 s' WHERE NOT is_done"
        )
    await sweeping.sweep()


async def assert_no_orphans(runtime: Runtime, known: set[str], folder: Path) -> None:
    """Bytes that no row knows are gone once they are old enough; those that one knows stay."""
    sweeping = cast("Sweeping", runtime.services[Sweeping])
    until = monotonic() + WITHIN_S
    while True:
        await sweeping.sweep_orphans()
        # All of them: what was half-written too, which no listing of the store shows.
        found = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        assert known <= found
        if found == known:
            return
        assert monotonic() < until, found - known
        await asyncio.sleep(0.2)


async def digest_of(pieces: AsyncIterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
    return digest.digest()
