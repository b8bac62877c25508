"""A recipe works on a file, step by step; its results, its receipt and its failures are told."""

import asyncio
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from posthouse.files.model import FILE
from posthouse.files.sweeping import Sweeping
from posthouse.runtime import Runtime
from tests.files.sending import CSV, content_of, done, look, send
from tests.make import Maker

THUMB: dict[str, Any] = {"use": "image.resize", "width": 32, "height": 32, "fit": "cover"}


def photo(width: int = 64, height: int = 48, colour: str = "red") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(held, "JPEG")
    return held.getvalue()


async def test_steps_follow_each_other_and_their_results_can_be_read(
    client: httpx.AsyncClient,
) -> None:
    recipe = {
        "steps": {
            "thumb": THUMB,
            "small": {"use": "image.convert", "from": "thumb", "format": "webp"},
            "hash": {"use": "image.placeholder"},
        }
    }
    file_id = await send(client, photo(), "Ünï photo.jpg", recipe)
    shown = await done(client, file_id)
    assert shown["status"] == "completed", shown
    assert [one["name"] for one in shown["results"]] == ["thumb", "small", "hash"]
    assert shown["result_url"] == shown["results"][0]["url"]
    thumb, small, _ = shown["results"]
    assert thumb["filename"] == "Ünï photo.thumb.jpg"
    image = Image.open(io.BytesIO(await content_of(client, thumb["url"])))
    assert (image.format, image.size) == ("JPEG", (32, 32))
    image = Image.open(io.BytesIO(await content_of(client, small["url"])))
    assert (image.format, image.size) == ("WEBP", (32, 32))
    assert shown["progress"]["done"] == shown["progress"]["total"] == 300


async def test_a_receipt_tells_what_was_done_by_what_and_how_confined(
    client: httpx.AsyncClient,
) -> None:
    file_id = await send(client, photo(colour="blue"), "a.jpg", {"steps": {"thumb": THUMB}})
    shown = await done(client, file_id)
    (step,) = shown["receipt"]["steps"]
    assert step["use"] == "image.resize"
    assert step["input_sha256"] == shown["sha256"]
    assert step["output_sha256"] == [shown["results"][0]["sha256"]]
    assert step["cpu_s"] > 0
    assert step["peak_bytes"] > 1_000_000
    assert "seccomp" in step["isolation"]
    assert "libvips" in step["engines"]


async def test_the_same_work_is_done_once(client: httpx.AsyncClient) -> None:
    content = photo(colour="green")
    first = await done(client, await send(client, content, "a.jpg", {"steps": {"thumb": THUMB}}))
    other = {"steps": {"again": {**THUMB, "enlarge": False}}}
    second = await done(client, await send(client, content, "b.jpg", other))
    assert second["receipt"]["steps"][0]["is_reused"] is True
    assert second["results"][0]["sha256"] == first["results"][0]["sha256"]
    assert second["results"][0]["filename"] == "b.again.jpg"


async def test_work_is_not_shared_between_workspaces(
    client: httpx.AsyncClient, make: Maker, runtime: Runtime
) -> None:
    from posthouse.app import create_app
    from tests.conftest import client_of

    content = photo(colour="yellow")
    await done(client, await send(client, content, "a.jpg", {"steps": {"thumb": THUMB}}))
    async with client_of(create_app(runtime), await make.key()) as stranger:
        shown = await done(
            stranger, await send(stranger, content, "a.jpg", {"steps": {"thumb": THUMB}})
        )
    assert shown["status"] == "completed", shown["problem"]
    assert shown["receipt"]["steps"][0]["is_reused"] is False


async def test_a_file_that_cannot_be_read_fails_with_a_reason(client: httpx.AsyncClient) -> None:
    broken = photo()[:200]
    shown = await done(client, await send(client, broken, "a.jpg", {"steps": {"thumb": THUMB}}))
    assert shown["status"] == "failed"
    assert shown["problem"]["code"] == "bad-input"
    assert shown["results"] == []
    assert shown["result_url"] is None


async def test_a_bomb_is_refused_before_the_work(client: httpx.AsyncClient) -> None:
    held = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(held, "PNG")
    file_id = await send(client, held.getvalue(), "a.png", {"steps": {"thumb": THUMB}})
    shown = await done(client, file_id)
    assert shown["problem"]["code"] == "unsafe-input"


async def test_a_step_that_cannot_read_its_input_is_refused_at_once(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(
        "/api/v1/files/upload",
        files={"file": ("a.csv", CSV)},
        data={"recipe": json.dumps({"steps": {"thumb": THUMB}})},
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "type-not-allowed"
    assert answer.json()["errors"][0]["field"] == "recipe.steps.thumb"
    assert (await client.get("/api/v1/files")).json()["items"] == []


async def test_a_file_without_its_task_remembers_how_its_work_ended(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    good = await done(client, await send(client, photo(), "a.jpg", {"steps": {"thumb": THUMB}}))
    bad = await done(client, await send(client, photo()[:99], "b.jpg", {"steps": {"t": THUMB}}))
    async with runtime.parts.db.begin() as tx:
        await tx.execute("DELETE FROM tasks WHERE kind = 'files.process'")
    assert (await look(client, good["id"]))["status"] == "completed"
    failed = await look(client, bad["id"])
    assert (failed["status"], failed["problem"]["code"]) == ("failed", "bad-input")


async def test_a_failed_file_can_be_tried_again_by_its_task(client: httpx.AsyncClient) -> None:
    shown = await done(client, await send(client, photo()[:99], "b.jpg", {"steps": {"t": THUMB}}))
    task = await client.get(f"/api/v1/tasks/{shown['task_id']}")
    assert task.json()["kind"] == "files.process"
    assert task.json()["error"]["code"] == "bad-input"
    again = await client.post(f"/api/v1/tasks/{shown['task_id']}/retry")
    assert again.status_code == 200
    assert (await done(client, shown["id"]))["status"] == "failed"


def noise(width: int, height: int) -> bytes:
    held = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(held, "PNG")
    return held.getvalue()


async def test_work_that_is_cancelled_stops_in_the_middle_of_a_step(
    client: httpx.AsyncClient,
) -> None:
    slow = {"use": "image.convert", "format": "avif", "quality": 99}
    file_id = await send(client, noise(2500, 2000), "a.png", {"steps": {"slow": slow}})
    async with asyncio.timeout(20):
        while (shown := await look(client, file_id))["status"] != "running":
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    answer = await client.post(f"/api/v1/tasks/{shown['task_id']}/cancel")
    assert answer.status_code == 200
    shown = await done(client, file_id, within_s=8)
    assert (shown["status"], shown["results"]) == ("cancelled", [])
    task = (await client.get(f"/api/v1/tasks/{shown['task_id']}")).json()
    assert (task["status"], task["attempts"]) == ("cancelled", 1)


async def test_a_file_that_kills_its_process_is_tried_twice_and_harms_no_other(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    slow = {"use": "image.convert", "format": "avif", "quality": 98}
    content = noise(3600, 3000)
    file_id = await send(client, content, "a.png", {"steps": {"slow": slow}})
    other = await send(client, photo(70, 71), "b.jpg", {"steps": {"thumb": THUMB}})
    killed: set[int] = set()

    async def kill_slow_steps() -> None:
        while True:
            for pid in set(steps_of(runtime, seconds=0.3)) - killed:
                os.kill(pid, signal.SIGSEGV)
                killed.add(pid)
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        # Beside the questions: on a busy machine an answer takes as long as the step.
        killing = group.create_task(kill_slow_steps())
        while (shown := await look(client, file_id))["status"] in {"pending", "running"}:
            await asyncio.sleep(0.05)
        killing.cancel()
    assert (shown["status"], shown["problem"]["code"]) == ("failed", "crashed")
    assert len(killed) == 2
    task = (await client.get(f"/api/v1/tasks/{shown['task_id']}")).json()
    assert task["attempts"] == 1
    assert (await done(client, other))["status"] == "completed"


def steps_of(runtime: Runtime, seconds: float) -> list[int]:
    """The children of the sandbox that have used so much CPU: the slow step, not the quick one."""
    zygote = runtime.parts.sandbox._zygote
    if zygote is None:
        return []
    parent = zygote.process.pid
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found: list[int] = []
    for pid in listed:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[11]) / os.sysconf("SC_CLK_TCK") > seconds:
            found.append(int(pid))
    return found


async def test_a_sweep_takes_nothing_from_a_recipe_that_runs(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    recipe = {
        "steps": {
            "a": {"use": "image.convert", "format": "webp"},
            "b": {"use": "image.convert", "from": "a", "format": "png"},
            "c": {"use": "image.convert", "from": "b", "format": "avif", "quality": 97},
        }
    }
    file_id = await send(client, noise(1200, 1100), "a.png", recipe)
    sweeping: Sweeping = runtime.services[Sweeping]  # type: ignore[assignment]
    async with asyncio.timeout(40):
        while (shown := await look(client, file_id))["status"] in {"pending", "running"}:
            await sweeping.sweep()
            await asyncio.sleep(0.02)
    assert shown["status"] == "completed", shown["problem"]
    task = (await client.get(f"/api/v1/tasks/{shown['task_id']}")).json()
    assert task["attempts"] == 1
    for result in shown["results"]:
        assert len(await content_of(client, result["url"])) == result["size_bytes"]


async def test_a_deleted_file_takes_its_results_and_its_bytes_along(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    shown = await done(client, await send(client, photo(), "a.jpg", {"steps": {"thumb": THUMB}}))
    before = (await client.get("/api/v1/files/usage")).json()["used_bytes"]
    assert before == shown["size_bytes"] + shown["results"][0]["size_bytes"]
    assert (await client.delete(f"/api/v1/files/{shown['id']}")).status_code == 204
    assert (await client.get(f"/api/v1/files/{shown['id']}")).status_code == 404
    async with asyncio.timeout(15):
        while (await client.get("/api/v1/files/usage")).json()["used_bytes"]:
            await asyncio.sleep(0.05)
    async with runtime.parts.db.read() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM file_results WHERE file_id = $1", FILE.read(shown["id"])
        )
    assert left == 0


async def test_a_stored_file_is_worked_on_by_another_recipe(client: httpx.AsyncClient) -> None:
    first = await send(client, photo(), "a.jpg")
    answer = await client.post(
        f"/api/v1/files/{first}/process", json={"recipe": {"steps": {"thumb": THUMB}}}
    )
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(f"{answer.json()['job_id']}/status")
    shown = await done(client, answer.json()["job_id"])
    assert shown["status"] == "completed"
    assert shown["id"] != first
    assert (await look(client, first))["results"] == []


async def test_events_tell_how_the_work_ended(client: httpx.AsyncClient, runtime: Runtime) -> None:
    # The relay takes events at once, so the announcing is looked at in the outbox's own log.
    async with runtime.parts.db.session() as connection:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS seen_events (name text, payload jsonb);"
            "CREATE OR REPLACE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO seen_events VALUES (NEW.name, NEW.payload); RETURN NULL; END $$;"
            "CREATE OR REPLACE TRIGGER seen AFTER INSERT ON outbox FOR EACH ROW "
            "WHEN (NEW.name LIKE 'file.%') EXECUTE FUNCTION see()"
        )
        try:
            good = await send(client, photo(), "a.jpg", {"steps": {"thumb": THUMB}})
            bad = await send(client, photo()[:99], "b.jpg", {"steps": {"thumb": THUMB}})
            await done(client, good)
            await done(client, bad)
            rows = await connection.fetch("SELECT name, payload FROM seen_events")
        finally:
            await connection.execute("DROP TRIGGER seen ON outbox; DROP TABLE seen_events")
    told = {row["payload"]["file_id"]: (row["name"], row["payload"]) for row in rows}
    assert told[str(FILE.read(good))][0] == "file.processed"
    assert told[str(FILE.read(good))][1]["results"] == ["thumb"]
    assert told[str(FILE.read(bad))][0] == "file.failed"
    assert told[str(FILE.read(bad))][1]["code"] == "bad-input"


@pytest.mark.parametrize("count", [12])
async def test_one_bad_file_fails_no_other(client: httpx.AsyncClient, count: int) -> None:
    sent = [
        await send(
            client,
            photo(width=50 + number) if number % 3 else photo()[:150],
            f"{number}.jpg",
            {"steps": {"thumb": THUMB}},
        )
        for number in range(count)
    ]
    states = [(await done(client, one))["status"] for one in sent]
    assert states == ["completed" if number % 3 else "failed" for number in range(count)]
