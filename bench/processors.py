"""Runs steps of files in children, as a worker does, for benches."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from posthouse.files.processors import PRELOAD, PROCESSORS
from posthouse.kernel.sandbox import Reach, Receipt, Sandbox, SandboxLimits

CHILD = "posthouse.files.processors.child"


@asynccontextmanager
async def workshop(at_once: int = 4) -> AsyncGenerator[tuple[Sandbox, Path]]:
    """A warm sandbox and a folder, gone when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-bench-"))
    sandbox = Sandbox((CHILD, *PRELOAD), at_once=at_once)
    try:
        yield sandbox, folder
    finally:
        sandbox.close()
        shutil.rmtree(folder)


async def step(
    sandbox: Sandbox, folder: Path, use: str, source: Path, media_type: str, **options: Any
) -> tuple[float, Receipt, Any]:
    """One step in a child: its wall time in ms, what it used, and its answer."""
    limits = PROCESSORS[use].limits
    job = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=folder))
    order = {
        "use": use,
        "source": str(source),
        "media_type": media_type,
        "filename": source.name,
        "folder": str(job),
        "options": options,
        "memory_bytes": limits.memory_bytes,
    }
    allowed = SandboxLimits(limits.memory_bytes, limits.cpu_s, limits.wall_s, limits.written_bytes)
    begun = time.perf_counter()
    reach = Reach(read=(str(source),), write=(str(job),))
    async with sandbox.open(f"{CHILD}:run", order, allowed, reach) as child:
        while await child.receive() is not None:
            pass
    took = (time.perf_counter() - begun) * 1000
    assert child.receipt is not None
    assert "outputs" in child.result, child.result
    return took, child.receipt, child.result
