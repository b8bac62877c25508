"""Heavy work runs in children with limits, and what befalls one befalls no other."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from posthouse.kernel.sandbox import (
    ChildCrashedError,
    ChildMemoryError,
    ChildTimeoutError,
    Sandbox,
    SandboxLimits,
    SandboxLostError,
    plain_environment,
)

HERE = "tests.kernel.sandboxed"


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    sandbox = Sandbox((HERE,), at_once=4, environment=plain_environment() | paths)
    yield sandbox
    sandbox.close()


async def test_a_child_gives_its_result(sandbox: Sandbox) -> None:
    assert await sandbox.run(f"{HERE}:double", 21) == 42


async def test_messages_go_both_ways(sandbox: Sandbox) -> None:
    async with sandbox.open(f"{HERE}:echo") as child:
        for word in (b"one", b"two" * 100_000):
            await child.send(word)
            assert await child.receive() == word.upper()
        await child.send(b"end")
    assert child.result == 2
    assert child.receipt is not None
    assert child.receipt.peak_bytes > 1024


@pytest.mark.parametrize(
    ("function", "limits", "error"),
    [
        ("eat_memory", SandboxLimits(memory_bytes=300 * 1024 * 1024), ChildMemoryError),
        ("spin", SandboxLimits(cpu_s=1), ChildTimeoutError),
        ("sleep", SandboxLimits(wall_s=0.3), ChildTimeoutError),
        ("crash", SandboxLimits(), ChildCrashedError),
        ("fail", SandboxLimits(), ChildCrashedError),
        ("no_such_function", SandboxLimits(), ChildCrashedError),
    ],
)
async def test_a_bad_end_has_a_name_and_the_next_child_is_well(
    sandbox: Sandbox, function: str, limits: SandboxLimits, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        await sandbox.run(f"{HERE}:{function}", None, limits)
    assert "secret" not in str(raised.value)
    assert await sandbox.run(f"{HERE}:double", 1) == 2


async def test_one_that_crashes_disturbs_no_other(sandbox: Sandbox) -> None:
    async with asyncio.TaskGroup() as group:
        well = [group.create_task(sandbox.run(f"{HERE}:double", n)) for n in range(30)]
        bad = [group.create_task(ended_badly(sandbox)) for _ in range(10)]
    assert [task.result() for task in well] == [2 * n for n in range(30)]
    assert all(task.result() for task in bad)


async def ended_badly(sandbox: Sandbox) -> bool:
    with pytest.raises(ChildCrashedError):
        await sandbox.run(f"{HERE}:crash")
    return True


async def test_who_is_cancelled_leaves_no_child(sandbox: Sandbox) -> None:
    async with sandbox.open(f"{HERE}:echo"):
        pass  # ends: its line is closed, so it receives None
    task = asyncio.ensure_future(sandbox.run(f"{HERE}:sleep"))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while children_of((await sandbox.run(f"{HERE}:environment"))["parent"]):
            await asyncio.sleep(0.05)


def children_of(pid: int) -> list[str]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return listed.split()


async def test_children_see_no_settings(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_SECRET", "not for children")
    assert "POSTHOUSE_SECRET" not in plain_environment()
    seen = await sandbox.run(f"{HERE}:environment")
    assert [name for name in seen["names"] if "POSTHOUSE" in name] == []
    assert seen["pid"] != os.getpid()


async def test_a_lost_zygote_is_started_again(sandbox: Sandbox) -> None:
    zygote = (await sandbox.run(f"{HERE}:environment"))["parent"]
    with pytest.raises(SandboxLostError):
        async with sandbox.open(f"{HERE}:sleep"):
            os.kill(zygote, signal.SIGKILL)
    assert await sandbox.run(f"{HERE}:double", 4) == 8
