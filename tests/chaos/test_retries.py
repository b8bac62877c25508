"""A POST that is repeated with its key after the process was killed happens once."""

import asyncio
import os
import signal

import pytest

from posthouse.embedded import valkey
from tests.chaos.conftest import Chaos
from tests.chaos.house import HTTP, House
from tests.chaos.load import Load
from tests.chaos.wire import Answer, CutError

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def test_a_process_that_dies_between_commit_and_answer_leaves_its_answer(
    house: House, load: Load, chaos: Chaos
) -> None:
    """A hung Valkey holds the telling after the commit up for long enough to kill the process."""
    for turn in range(int(chaos.pick(3, 20))):
        key = f"between-{chaos.seed}-{turn}"
        body = {"url": f"https://example.com/{key}", "code": key}
        pid = house.server_pid(valkey.NAME)
        os.kill(pid, signal.SIGSTOP)
        try:
            first = asyncio.create_task(_first(load, body, key))
            await _until_committed(house, key)
            await house.kill("http1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert isinstance(await first, CutError), chaos.seed
        await house.start("http1")
        again = [
            await load.insist("POST", "/api/v1/links", body, [part], Idempotency_Key=key)
            for part in ("http1", "http0", "http1")
        ]
        assert {answer.status for answer in again} == {201}, again[0].body
        assert len({answer.body for answer in again}) == 1
        assert all(answer.headers["idempotency-replayed"] == "true" for answer in again)
        (row,) = await house.rows("SELECT count(*) FROM links WHERE url = $1", body["url"])
        assert row["count"] == 1
        followed = await load.insist("GET", f"/{key}")
        assert followed.location == body["url"]


async def _first(load: Load, body: dict[str, str], key: str) -> Answer | CutError:
    line = load.house.line("http1")
    try:
        return await line.ask("POST", "/api/v1/links", body, Idempotency_Key=key)
    except CutError as error:
        return error
    finally:
        line.close()


async def _until_committed(house: House, code: str) -> None:
    async with asyncio.timeout(10):
        while not await house.rows("SELECT FROM links WHERE code = $1", code):
            await asyncio.sleep(0.005)


async def test_many_at_once_with_one_key_make_one_link(
    house: House, load: Load, chaos: Chaos
) -> None:
    key = f"many-{chaos.seed}"
    body = {"url": f"https://example.com/{key}"}
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(
                load.insist(
                    "POST",
                    "/api/v1/shorten",
                    body,
                    [HTTP[number % 2]],
                    Idempotency_Key=key,
                )
            )
            for number in range(64)
        ]
    answers = [task.result() for task in asked]
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    (row,) = await house.rows("SELECT count(*) FROM links WHERE url = $1", body["url"])
    assert row["count"] == 1
