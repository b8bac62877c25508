"""SIGTERM: first not ready, then no more requests, what runs ends, and the exit code is 0."""

import asyncio
import json
import signal
from time import monotonic

import asyncpg
import pytest

from tests.chaos.conftest import Chaos
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.wire import RefusedError

GRACE_S = 1.0

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def half_request(
    house: House, part: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Send the half of a POST; give the connection and the other half."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.ports[part])
    body = json.dumps({"url": "https://example.com/in-flight"}).encode()
    head = (
        f"POST /api/v1/shorten HTTP/1.1\r\nHost: 127.0.0.1:{house.ports[part]}\r\n"
        f"Authorization: Bearer {house.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:9])
    await writer.drain()
    return reader, writer, body[9:]


async def test_first_it_is_not_ready_then_what_runs_ends_and_the_exit_code_is_0(
    house: House, load: Load
) -> None:
    await house.kill("http1", signal.SIGTERM)
    await house.start("http1", POSTHOUSE_STOP_GRACE_S=str(GRACE_S))
    link = await load.make_link("stopping")
    reader, writer, rest = await half_request(house, "http1")
    await asyncio.sleep(0.1)
    asked_at = monotonic()
    house.processes["http1"].signal(signal.SIGTERM)
    while await house.readiness("http1") != 503:
        assert monotonic() - asked_at < GRACE_S, "it stopped before it said that it was not ready"
        await asyncio.sleep(0.01)
    # Balancers have not noticed yet: it still serves.
    line = house.line("http1")
    assert (await line.ask("GET", f"/{link.code}")).status == 302
    line.close()
    assert monotonic() - asked_at < GRACE_S
    await _until_closed(house, "http1")
    assert monotonic() - asked_at > GRACE_S
    assert not house.processes["http1"].has_ended
    writer.write(rest)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        writer.close()
        assert await house.processes["http1"].wait() == 0
    counted = await load.drained_counts(lambda found: found == {link.code: 1})
    assert counted == {link.code: 1}  # its click was flushed before the end
    await house.start("http1")


async def _until_closed(house: House, part: str) -> None:
    async with asyncio.timeout(10):
        while True:
            line = house.line(part)
            try:
                await line.connect()
            except RefusedError:
                return
            finally:
                line.close()
            await asyncio.sleep(0.02)


async def test_a_second_sigterm_does_not_wait(house: House) -> None:
    await house.kill("http1", signal.SIGTERM)
    await house.start("http1", POSTHOUSE_STOP_GRACE_S="30")
    _, writer, _ = await half_request(house, "http1")
    house.processes["http1"].signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    assert not house.processes["http1"].has_ended
    house.processes["http1"].signal(signal.SIGTERM)
    async with asyncio.timeout(5):  # and neither for the grace of 30 s nor for what runs
        await house.processes["http1"].wait()
    writer.close()
    await house.start("http1")


async def test_a_worker_ends_the_job_that_runs(house: House, load: Load, chaos: Chaos) -> None:
    """The job waits for a lock that we hold; it ends after the signal, and is not run again."""
    await _leave_one_job(house, load, f"job-{chaos.seed}")
    holder = await asyncpg.connect(house.database_url, timeout=5)
    async with holder.transaction():
        await house.start("worker0")
        await holder.execute("LOCK TABLE links IN ACCESS EXCLUSIVE MODE")
        await _until_picked(house)
        house.processes["worker0"].signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert not house.processes["worker0"].has_ended
    await holder.close(timeout=5)
    async with asyncio.timeout(15):
        assert await house.processes["worker0"].wait() == 0
    assert not await house.rows("SELECT FROM pgqueuer WHERE entrypoint = 'links.refresh'")
    await house.start("worker0")


async def _leave_one_job(house: House, load: Load, code: str) -> None:
    """Stop the worker, and have a change told when it starts again."""
    assert await house.kill("worker0", signal.SIGTERM) == 0
    link = await load.make_link(code)
    await house.rows("DELETE FROM pgqueuer")  # a worker that was killed before has left some picked
    await load.insist("PATCH", f"/api/v1/links/{link.id}", {"title": "changed"})


async def _until_picked(house: House) -> None:
    async with asyncio.timeout(20):
        while not await house.rows(
            "SELECT FROM pgqueuer WHERE entrypoint = 'links.refresh' AND status = 'picked'"
        ):
            await asyncio.sleep(0.005)


async def test_a_worker_does_not_wait_after_a_second_sigterm(
    house: House, load: Load, chaos: Chaos
) -> None:
    await _leave_one_job(house, load, f"jobs-{chaos.seed}")
    holder = await asyncpg.connect(house.database_url, timeout=5)
    async with holder.transaction():
        await holder.execute("LOCK TABLE links IN ACCESS EXCLUSIVE MODE")
        await house.start("worker0")
        await _until_picked(house)
        house.processes["worker0"].signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        house.processes["worker0"].signal(signal.SIGTERM)
        async with asyncio.timeout(0.5):
            assert await house.processes["worker0"].wait() == -signal.SIGTERM
    await holder.close(timeout=5)
    await house.start("worker0")
