"""A slice for tests: kinds of work that end in every way that there is."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.errors import FieldProblem, InvalidInputError, UnavailableError
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.work import Work, WorkKind

USE = Scope("tasks:write", Role.MEMBER)
MAY_NOT = Scope("probe:own", Role.OWNER)


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Count(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: int = Field(ge=1, le=1_000_000)
    pause_s: float = Field(default=0, ge=0, le=10)


class Fail(BaseModel):
    model_config = ConfigDict(extra="forbid")

    until: int = Field(default=0, description="Attempts that fail.")
    how: str = "crash"


class Say(BaseModel):
    words: str


async def count(wanted: Count, work: Work) -> Mapping[str, Any]:
    for done in range(wanted.to):
        await work.progress(done, wanted.to, f"at {done}")
        await asyncio.sleep(wanted.pause_s)
    await work.progress(wanted.to, wanted.to, "there")
    return {"counted": wanted.to}


async def fail(wanted: Fail, work: Work) -> Mapping[str, Any]:
    if work.attempt <= wanted.until:
        match wanted.how:
            case "away":
                raise UnavailableError("The other side is away.")
            case "refused":
                raise InvalidInputError(fields=[FieldProblem("row.3", "too-long", "too long")])
            case _:
                raise RuntimeError("password=hunter2 in /etc/secrets")
    return {"attempts": work.attempt}


async def ignore_cancelling(_: Nothing, work: Work) -> None:
    del work
    await asyncio.sleep(600)


async def give(wanted: Say, work: Work) -> Any:
    del work
    return {"nul": {"words": "\x00"}, "object": {"it": object()}, "long": {"it": "x" * 2**21}}[
        wanted.words
    ]


async def compute(wanted: Say, work: Work) -> Mapping[str, Any]:
    return {"doubled": await work.sandbox.run("tests.kernel.sandboxed:double", int(wanted.words))}


async def say(wanted: Say, work: Work) -> Mapping[str, Any]:
    """Say something once: the effect is made in the transaction that ends the task."""
    async with work.finishing() as ending:
        ending.result = {"said": wanted.words}
        await ending.tx.execute(
            "INSERT INTO probe.said (task_id, workspace_id, words) VALUES ($1, $2, $3)",
            work.id,
            work.principal.workspace_id,
            wanted.words,
        )
    return {}


KINDS = [
    WorkKind("probe.count", Count, count, "Count up.", needs=USE),
    WorkKind("probe.fail", Fail, fail, "Fail some times.", needs=USE),
    WorkKind("probe.deaf", Nothing, ignore_cancelling, "Never end.", needs=USE),
    WorkKind("probe.slow", Nothing, ignore_cancelling, "Take long.", needs=USE, timeout_s=0.3),
    WorkKind("probe.alone", Count, count, "One at a time.", needs=USE, at_once=1),
    WorkKind("probe.give", Say, give, "Give what cannot be kept.", needs=USE),
    WorkKind("probe.compute", Say, compute, "Compute in a child.", needs=USE),
    WorkKind("probe.say", Say, say, "Say something once.", needs=USE),
    WorkKind("probe.owners", Nothing, ignore_cancelling, "For owners.", needs=MAY_NOT),
    WorkKind("probe.inner", Nothing, ignore_cancelling, "Not for callers."),
]


async def build(parts: Parts, doors: Doors) -> Built:
    del parts, doors
    return Built(work=KINDS)


PROBE = Slice(name="tasks", build=build)
