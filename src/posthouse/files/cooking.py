"""Runs the steps of a recipe, each in a child of the sandbox with a folder of its own.

A file that kills its child is tried once more, as the cause may have been the machine; a second
time it is the file's fault.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posthouse.files.errors import StepInputError, StepUnsafeError
from posthouse.files.processors.protocol import StepLimits
from posthouse.files.recipes import Planned
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.sandbox import (
    Child,
    ChildCrashedError,
    ChildMemoryError,
    ChildTimeoutError,
    Reach,
    Receipt,
    Sandbox,
    SandboxLimits,
    SandboxLostError,
)

_CHILD = "posthouse.files.processors.child"
_TRIES = 2
_LOOK_S = 0.5
_MAX_DETAIL = 500

Tell = Callable[[int, int | None, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Dish:
    """An output of a step, still a file of this machine."""

    key: str
    path: Path
    media_type: str
    extension: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cooked:
    """What a step made, by which engines, and what that cost."""

    outputs: list[Dish]
    engines: Mapping[str, str]
    receipt: Receipt
    took_s: float
    tries: int


@dataclass(slots=True)
class Cook:
    """Runs steps; one for each worker."""

    sandbox: Sandbox
    _engines: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def engines(self, use: str) -> Mapping[str, str]:
        """The versions of what a processor works with; asked of a child, which has them loaded."""
        if not self._engines:
            self._engines = await self.sandbox.run(f"{_CHILD}:engines", None, _limits(StepLimits()))
        return self._engines[use]

    async def run(
        self, planned: Planned, source: Path, filename: str, folder: Path, tell: Tell
    ) -> Cooked:
        """Run a step on a file; what it makes lies in `folder`.

        Raises:
            StepInputError: the step cannot read the file.
            StepUnsafeError: the file would cost too much.
            ChildTimeoutError: it took longer than it may.
            ChildMemoryError: it used more memory than it may.
            ChildCrashedError: it ended without a word, twice.
        """
        for tried in range(1, _TRIES + 1):
            own = folder / str(tried)
            await asyncio.to_thread(own.mkdir, parents=True)
            try:
                return await self._once(planned, source, filename, own, tell, tried)
            except (ChildCrashedError, SandboxLostError):
                continue
            except ChildTimeoutError as error:
                words = f"The step {planned.step.name} used more time than it may."
                raise ChildTimeoutError(words) from error
            except ChildMemoryError as error:
                words = f"The step {planned.step.name} used more memory than it may."
                raise ChildMemoryError(words) from error
        raise ChildCrashedError(f"The step {planned.step.name} crashed {_TRIES} times.")

    async def _once(
        self,
        planned: Planned,
        source: Path,
        filename: str,
        folder: Path,
        tell: Tell,
        tried: int,
    ) -> Cooked:
        order = {
            "use": planned.step.use,
            "options": planned.step.options,
            "source": str(source),
            "media_type": planned.takes,
            "filename": filename,
            "folder": str(folder),
            "memory_bytes": planned.processor.limits.memory_bytes,
        }
        reach = Reach(read=(str(source),), write=(str(folder),))
        limits = _limits(planned.processor.limits)
        began = time.monotonic()
        async with self.sandbox.open(f"{_CHILD}:run", order, limits, reach) as child:
            await _follow(child, tell)
        answer: dict[str, Any] = child.result
        if "refused" in answer:
            raise _refusal(answer, planned.step.name)
        assert child.receipt is not None  # noqa: S101  a child that ended has one
        return Cooked(
            outputs=[_dish(one, folder) for one in answer["outputs"]],
            engines=answer["engines"],
            receipt=child.receipt,
            took_s=round(time.monotonic() - began, 3),
            tries=tried,
        )


async def _follow(child: Child, tell: Tell) -> None:
    """Pass on what a child says of its progress, and look for a cancellation while it says nothing.

    Raises:
        ChildCrashedError: it ended without a result.
        WorkStoppedError: `tell` raised it.
    """
    heard = _Heard()
    try:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_look(heard, tell))
            while (message := await child.receive()) is not None:
                done, total, words = json.loads(message)
                heard.last = (int(done), total, str(words))
                await tell(*heard.last)
            looking.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # one can fail, the other is cancelled by that
    child.require_result()


@dataclass(slots=True)
class _Heard:
    """What a child has said last."""

    last: tuple[int, int | None, str] = (0, None, "")


async def _look(heard: _Heard, tell: Tell) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        await tell(*heard.last)


def _limits(limits: StepLimits) -> SandboxLimits:
    return SandboxLimits(
        memory_bytes=limits.memory_bytes,
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        written_bytes=limits.written_bytes,
    )


def _refusal(answer: Mapping[str, Any], step: str) -> PosthouseError:
    detail = f"{step}: {str(answer['detail'])[:_MAX_DETAIL]}".replace("\x00", "")
    return (
        StepUnsafeError(detail) if answer["refused"] == "unsafe-input" else StepInputError(detail)
    )


def _dish(told: Mapping[str, Any], folder: Path) -> Dish:
    """Read what a child says of an output; it may have been taken over, so the path is checked.

    Raises:
        ChildCrashedError: it names a file that is not an ordinary one of its folder.
    """
    path = folder / str(told["file"])
    if path.is_symlink() or not path.is_file() or path.resolve().parent != folder.resolve():
        raise ChildCrashedError("The step named an output that is none.")
    return Dish(
        str(told["key"]), path, str(told["media_type"]), str(told["extension"]), told["facts"]
    )
