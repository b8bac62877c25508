"""A process that has used the store of objects ends as it was told to, each time."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

_AT_ONCE = 4
_PROGRAM = """
import asyncio, os, sys
from posthouse.kernel.blobs import ObjectBlobs, fresh_key, leave

async def pieces():
    for _ in range(10):
        yield os.urandom(100_000)

async def use(blobs):
    key = fresh_key("blobs")
    await blobs.write(key, pieces())
    size = sum([len(piece) async for piece in blobs.read(key)])
    await blobs.delete([key])
    return size

size = asyncio.run(use(ObjectBlobs(sys.argv[1])))
print(size)
leave(int(sys.argv[2]))
"""


async def ended(folder: Path, code: int) -> tuple[int | None, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, folder.as_uri(), str(code)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode, said


async def test_every_process_ends_with_its_own_code(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    count = 200 if pytestconfig.getoption("--chaos") == "long" else 25
    codes = [0] * (count - 1) + [3]
    gate = asyncio.Semaphore(min(_AT_ONCE, os.cpu_count() or 1))

    async def one(code: int) -> tuple[int | None, bytes]:
        async with gate:
            return await ended(tmp_path, code)

    async with asyncio.TaskGroup() as group:
        ending = [group.create_task(one(code)) for code in codes]
    assert [task.result() for task in ending] == [(code, b"1000000\n") for code in codes]


async def test_a_process_that_has_not_used_it_ends_as_python_does() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c"),
        "import atexit; from posthouse.kernel.blobs import leave;"
        "atexit.register(print, 'ended by Python'); leave(4)",
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert (process.returncode, said) == (4, b"ended by Python\n")
