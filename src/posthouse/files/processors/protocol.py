"""What a processor is: one kind of step, its options, and what it makes of a file.

A processor runs in a child of the sandbox (`processors.child`): it reads `Job.source`, writes new
files into `Job.folder`, and can reach nothing else. Its module is imported by the API as well, to
read options, so a heavy library is imported inside of the function that needs it; `preload` names
those libraries, and the zygote imports them once for all children.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

MIB = 1024 * 1024


class StepOptions(BaseModel):
    """The parent of all options: unknown ones are refused, and values are JSON's own types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BadInputError(Exception):
    """The file is not what the step can read; the text is for its sender."""


class UnsafeInputError(Exception):
    """The file would cost more than it may (pixels, pages, columns): refused before the work."""


@dataclass(frozen=True, slots=True)
class Job:
    """One step on one file. `tell(done, total, message)` reports progress; it is cheap.

    `media_type` is what the content was found to be, `filename` what its sender called it.
    `memory_bytes` is the address space that the child may use, so engines can be told to keep
    below it.
    """

    source: Path
    media_type: str
    filename: str
    folder: Path
    options: Any
    memory_bytes: int
    tell: Callable[[int, int | None, str], None] = lambda _done, _total, _message: None


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a step made, and facts about it as JSON values (width, rows, pages, …).

    The main one has the `key` ""; others are named by theirs: step `table` with key `rejects`
    gives the result `table.rejects`.
    """

    path: Path
    media_type: str
    extension: str
    key: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Promised:
    """An output that a dry run foretells; one that `is_certain` is made whatever the file holds."""

    key: str
    media_type: str
    extension: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class StepLimits:
    """What one step may use: address space, CPU, wall clock, and the size of a file it writes."""

    memory_bytes: int = 1024 * MIB
    cpu_s: int = 30
    wall_s: float = 60.0
    written_bytes: int = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Processor:
    """A kind of step.

    `takes` are the media types that it reads; `run(job)` makes the outputs or raises
    `BadInputError` or `UnsafeInputError`; `promise(options, media_type)` tells the outputs
    beforehand. `version` grows when the same input and options would give other bytes.
    """

    name: str
    summary: str
    version: int
    options: type[StepOptions]
    takes: frozenset[str]
    run: Callable[[Job], Sequence[Output]]
    promise: Callable[[Any, str], Sequence[Promised]]
    engines: Callable[[], Mapping[str, str]]
    limits: StepLimits = StepLimits()
    preload: tuple[str, ...] = ()
