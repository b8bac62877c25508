"""What the sketch of a file pipeline gets wrong: a function for each, named by its line."""

import asyncio
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from posthouse.files.intake import Measured
from posthouse.files.model import FILE, ChosenRecipe, FileId, NewFile
from posthouse.files.recipes import read_steps
from posthouse.files.uploading import Sending, Uploads, whole
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import UnavailableError
from posthouse.kernel.sandbox import Sandbox, plain_environment
from posthouse.runtime import Runtime
from posthouse.tasks.public import TasksDoor
from tests.files.sending import CSV, done, look, send
from tests.make import Maker

MIB = 1024 * 1024
PROFILE = {"steps": {"profile": {"use": "table.profile"}}}
SANDBOXED = "tests.kernel.sandboxed"


async def test_L0881_a_file_is_looked_at_while_it_comes(client: httpx.AsyncClient) -> None:
    asked = 0

    async def program() -> AsyncGenerator[bytes]:
        nonlocal asked
        for asked in range(1, 65):  # noqa: B007  counted
            yield b"\x7fELF" + bytes(MIB)

    answer = await client.put("/api/v1/files/upload?name=a.csv", content=program())
    assert (answer.status_code, answer.json()["code"]) == (422, "type-not-allowed")
    assert asked < 8


async def test_L0883_what_nobody_uses_is_refused(client: httpx.AsyncClient) -> None:
    by_form = await client.post(
        "/api/v1/files/upload", files={"file": ("a.csv", CSV)}, data={"later": "true"}
    )
    assert (by_form.status_code, by_form.json()["code"]) == (400, "multipart-invalid")
    as_body = await client.put("/api/v1/files/upload?later=true", content=CSV)
    assert (as_body.status_code, as_body.json()["errors"][0]["field"]) == (422, "query.later")


@pytest.mark.parametrize(
    ("said", "name"),
    [("../../etc/passwd", "passwd"), ("..\\..\\boot.ini", "boot.ini"), ("..", "file")],
)
async def test_L0887_a_key_is_not_made_of_the_senders_name(
    client: httpx.AsyncClient, runtime: Runtime, said: str, name: str
) -> None:
    shown = await look(client, await send(client, CSV, said))
    assert shown["name"] == name
    async with runtime.parts.db.read() as connection:
        key = await connection.fetchval(
            "SELECT b.key FROM files f JOIN blobs b ON b.id = f.blob_id WHERE f.id = $1",
            FILE.read(shown["id"]),
        )
    assert re.fullmatch(r"blobs/[0-9a-f]{2}/[0-9a-f]{30}", key)


async def test_L0887_a_file_without_a_name_is_not_called_none(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/v1/files/upload", content=CSV)
    assert (await look(client, answer.json()["job_id"]))["name"] == "file"


class _SlowDigest:
    """Takes as long as the loop needs to go on."""

    def __init__(self) -> None:
        self.is_waited_for, self.may_end = threading.Event(), threading.Event()

    def update(self, piece: bytes) -> None:
        del piece
        self.is_waited_for.set()
        assert self.may_end.wait(10), "the loop waits for the digest"


async def test_L0888_the_loop_goes_on_while_bytes_are_digested() -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield bytes(MIB)

    slow = _SlowDigest()
    source = Measured(pieces(), lambda _: None, _hash=slow)

    async def take() -> int:
        return sum([len(piece) async for piece in source.flow()])

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        taking = group.create_task(take())
        while not slow.is_waited_for.is_set():
            await asyncio.sleep(0)
        slow.may_end.set()  # only a loop that goes on gets here
    assert taking.result() == MIB


class _FullQueue:
    """A front door of tasks that takes nothing."""

    async def submit(self, principal: Principal, kind: str, given: Mapping[str, Any]) -> UUID:
        raise UnavailableError


async def test_L0893_a_file_whose_work_cannot_be_queued_is_not_there(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    uploads = cast("Uploads", runtime.services[Uploads])
    intake = replace(uploads.intake, tasks=cast("TasksDoor", _FullQueue()))
    key = client.headers["authorization"].removeprefix("Bearer ")
    principal = await runtime.authenticator.authenticate(key)

    async def pieces() -> AsyncGenerator[bytes]:
        yield CSV

    new = NewFile("a.csv", "", ChosenRecipe(read_steps(PROFILE)))
    with pytest.raises(UnavailableError):
        await Uploads(intake).receive(principal, Sending(new, pieces(), whole(new), len(CSV), None))
    assert (await client.get("/api/v1/files")).json()["items"] == []
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (0, 0)


async def test_L0893_a_file_that_is_there_is_worked_on(client: httpx.AsyncClient) -> None:
    shown = await look(client, await send(client, CSV, "a.csv", PROFILE))
    assert (await client.get(f"/api/v1/tasks/{shown['task_id']}")).status_code == 200


async def test_L0898_an_answer_says_what_the_row_says(client: httpx.AsyncClient) -> None:
    stored = await client.put("/api/v1/files/upload?name=a.csv", content=CSV)
    assert stored.json()["status"] == "completed"
    assert (await look(client, stored.json()["job_id"]))["status"] == "completed"
    queued = await client.post(
        f"/api/v1/files/{stored.json()['job_id']}/process", json={"recipe": PROFILE}
    )
    assert queued.json()["status"] == "pending"
    shown = await done(client, queued.json()["job_id"])
    assert (shown["status"], shown["result_url"] is None) == ("completed", False)


async def test_L0901_no_id_that_is_not_the_callers_is_found(
    client: httpx.AsyncClient, make: Maker
) -> None:
    said: list[dict[str, Any]] = []
    for file_id in (await make.file(), FILE.show(FileId(ids.fresh()))):
        answer = await client.get(f"/api/v1/files/{file_id}/status")
        assert (answer.status_code, answer.json()["code"]) == (404, "file-not-found")
        said.append({**answer.json(), "request_id": "", "instance": ""})
    assert said[0] == said[1]
    for number in ("1", str(2**31), str(2**63), "fil_"):
        assert (await client.get(f"/api/v1/files/{number}/status")).status_code == 404


def _in_a_daemon(line: Connection) -> None:
    """Try a pool and a sandbox as a queue's prefork worker would."""
    try:
        with ProcessPoolExecutor(1) as pool:
            pool.submit(abs, -21).result(10)
        line.send("done")
    except AssertionError:
        line.send("refused")

    async def double() -> int:
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        sandbox = Sandbox((SANDBOXED,), environment=plain_environment() | paths)
        try:
            return await sandbox.run(f"{SANDBOXED}:double", 21)
        finally:
            sandbox.close()

    line.send(asyncio.run(double()))


def test_L0906_a_daemon_process_may_have_children_of_the_sandbox() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    daemon = context.Process(target=_in_a_daemon, args=(theirs,), daemon=True)
    daemon.start()
    try:
        assert ours.poll(30)
        assert ours.recv() == "refused"
        assert ours.poll(30)
        assert ours.recv() == 42
    finally:
        daemon.kill()
        daemon.join()
