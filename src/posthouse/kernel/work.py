"""Long work: what a slice can be asked to do in the background, by name.

A slice lists its kinds of work in its manifest; the tasks slice keeps the rows, claims them and
runs them. A handler may run twice (its worker may die after any line), so what it changes it
changes in `Work.finishing`, whose transaction also ends the task, or in a way that is safe to
repeat.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from uuid import UUID

from pydantic import BaseModel

from posthouse.kernel.auth import Principal, Scope
from posthouse.kernel.db import Tx
from posthouse.kernel.errors import Kind, PosthouseError
from posthouse.kernel.sandbox import Sandbox

Result = Mapping[str, Any]


class WorkStoppedError(PosthouseError):
    """Somebody cancelled the task, or its worker stops: end soon and change nothing more."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "work-stopped"
    title: ClassVar[str] = "The work was stopped"


@dataclass(slots=True)
class Ending:
    """The transaction that completes a task, and the `result` to set before it commits."""

    tx: Tx
    result: Result = field(default_factory=dict[str, Any])


class Work(Protocol):
    """One run of a task, as its handler sees it."""

    @property
    def id(self) -> UUID:
        """The id of the task."""
        ...

    @property
    def principal(self) -> Principal:
        """Who asked for it."""
        ...

    @property
    def attempt(self) -> int:
        """Which run this is, from 1."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """Where CPU-heavy and risky steps run."""
        ...

    async def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Tell how far it is; it costs nothing, as the worker writes it twice a second.

        Raises:
            WorkStoppedError: it was cancelled; let this error through.
        """
        ...

    def finishing(self) -> AbstractAsyncContextManager["Ending"]:
        """Open the transaction that completes the task: effects made in it happen once.

        Raises:
            LeaseLostError: another worker runs it by now; nothing was changed.
            WorkStoppedError: it was cancelled; nothing was changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that ended without success: `status` is failed or cancelled, `error` a problem."""

    id: UUID
    workspace_id: UUID
    input: Mapping[str, Any]
    status: str
    error: Mapping[str, Any] | None


Run = Callable[[Any, Work], Awaitable[Result | None]]


@dataclass(frozen=True, slots=True)
class WorkKind:
    """A kind of work: its name, what it takes and what runs it.

    `run(input, work)` gives the result, unless it ended the task by `Work.finishing`. `needs` is
    the right to ask for it by `POST /tasks`; without one only its own slice starts it.
    `at_once` bounds how many run at the same time over all workers. One run may take `timeout_s`.
    `mourn(tx, ended)` is told of tasks that failed for good or were cancelled, in the transaction
    that ends them.
    """

    name: str
    takes: type[BaseModel]
    run: Run
    summary: str
    needs: Scope | None = None
    at_once: int | None = None
    timeout_s: float = 600.0
    mourn: Callable[[Tx, Ended], Awaitable[None]] | None = None


@dataclass(slots=True)
class WorkKinds:
    """All kinds of work of this installation; filled from the manifests before anything runs."""

    by_name: dict[str, WorkKind] = field(default_factory=dict[str, WorkKind])

    def add(self, kinds: Sequence[WorkKind]) -> None:
        """Add the kinds of a slice.

        Raises:
            ValueError: a name is taken; two of one name would take each other's tasks.
        """
        for kind in kinds:
            if kind.name in self.by_name:
                raise ValueError(f"two kinds of work have one name: {kind.name}")
            self.by_name[kind.name] = kind
