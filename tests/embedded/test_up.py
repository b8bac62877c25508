"""One command brings the house up, keeps it up, and takes it down without a trace."""

import asyncio
import json
import os
import shlex
import signal
import socket
from pathlib import Path

import pytest

from posthouse.operate import ports
from tests.embedded.fake_house import FakeHouse
from tests.embedded.parents import is_running, mode_of, until, until_gone


@pytest.fixture
def house(data: Path, tmp_path: Path) -> FakeHouse:
    made = FakeHouse(data, tmp_path / "package", {"POSTHOUSE_PORT": str(_free_port())})
    made.build()
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _told(data: Path, name: str) -> dict[str, str]:
    return json.loads((data / f"{name}.env").read_text(encoding="utf-8"))


async def test_a_first_run_says_where_it_is_and_shows_the_key_once(house: FakeHouse) -> None:
    run = await house.up()
    url = f"http://127.0.0.1:{house.environ['POSTHOUSE_PORT']}"
    assert await run.line() == f"Posthouse is ready: {url}\n"
    children = run.children()
    said = await run.stop()
    assert run.process.returncode == 0
    assert not any(is_running(pid) for pid in children)
    curl = shlex.split(said.strip().splitlines()[-1])
    assert curl[:3] == ["curl", "-sS", f"{url}/api/v1/shorten"]
    assert "Authorization: Bearer ph_live_1" in curl
    assert json.loads(curl[-1]) == {"url": "https://example.com/"}

    again = await house.up()
    assert await again.line()
    assert "ph_live_1" not in await again.stop()
    client = house.data / "cli.json"
    assert json.loads(client.read_text()) == {"url": url, "api_key": "ph_live_1"}
    assert mode_of(client) == mode_of(house.data / "secret") == 0o600


async def test_the_processes_are_told_where_everything_is(house: FakeHouse) -> None:
    run = await house.up(POSTHOUSE_LOG_LEVEL="debug")
    await run.line()
    await until((house.data / "worker.env").exists)
    await run.stop()
    http, worker = _told(house.data, "http"), _told(house.data, "worker")
    assert http["POSTHOUSE_LOG_LEVEL"] == "debug"
    assert http["POSTHOUSE_DATABASE_URL"].startswith("postgresql://posthouse@/posthouse?host=")
    assert http["POSTHOUSE_VALKEY_URL"].startswith("unix:///")
    assert len(bytes.fromhex(http["POSTHOUSE_SECRET"])) >= 32
    assert http["POSTHOUSE_ADMIN_PORT"] != worker["POSTHOUSE_ADMIN_PORT"]


async def test_a_killed_parent_leaves_no_process_and_the_next_start_works(house: FakeHouse) -> None:
    run = await house.up()
    await run.line()
    children = run.children()
    assert len(children) == 4
    await run.stop(signal.SIGKILL)
    again = await house.up()
    assert "ready" in await again.line()
    assert not any(is_running(pid) for pid in children)
    await again.stop()


async def test_what_dies_is_started_again(house: FakeHouse) -> None:
    run = await house.up()
    await run.line()
    await until(lambda: len(run.pids()) == 3)
    before = run.pids()
    for name in ("http", "worker"):
        os.kill(before[name], signal.SIGKILL)
    await until(
        lambda: all(is_running(pid) and pid != before[name] for name, pid in _python(run.pids()))
    )
    run.process.send_signal(signal.SIGTERM)
    _, err = await run.end()
    assert err.count("ended (SIGKILL); starting it again in 0.1 s") == 2


def _python(pids: dict[str, int]) -> list[tuple[str, int]]:
    return [(name, pid) for name, pid in pids.items() if name != "postgres"]


async def test_a_taken_port_gives_the_next_one_and_says_so(house: FakeHouse) -> None:
    taken = int(house.environ["POSTHOUSE_PORT"])
    with socket.create_server(("127.0.0.1", taken)):
        assert str(os.getpid()) in (ports.owner(taken) or "")
        run = await house.up()
        assert str(taken) not in await run.line()
        assert f"Port {taken} is taken" in await run.line()
        await run.stop()


async def test_a_server_that_is_given_is_not_started(house: FakeHouse) -> None:
    run = await house.up(
        POSTHOUSE_DATABASE_URL="postgresql://db/x", POSTHOUSE_VALKEY_URL="redis://cache"
    )
    await run.line()
    assert len(run.children()) == 2
    await run.stop()
    assert _told(house.data, "http")["POSTHOUSE_DATABASE_URL"] == "postgresql://db/x"


async def test_a_failed_preparation_ends_it_with_words_and_leaves_nothing(house: FakeHouse) -> None:
    run = await house.up(FAKE_FAILURE="the moon is in the wrong house")
    _, err = await run.end()
    assert run.process.returncode == 1
    assert "wrong house" in err
    assert "`posthouse prepare` failed" in err
    assert "postgres" not in run.pids()


async def test_a_second_house_on_the_directory_is_refused(house: FakeHouse) -> None:
    run = await house.up()
    await run.line()
    second = await house.up()
    _, err = await second.end()
    assert second.process.returncode == 1
    assert f"Another posthouse runs here (pid {run.process.pid})" in err
    await run.stop()


async def test_a_second_signal_does_not_wait(house: FakeHouse) -> None:
    run = await house.up(FAKE_STUBBORN="1")
    await run.line()
    await until((house.data / "worker.pid").exists)
    http, worker = run.pids()["http"], run.pids()["worker"]
    run.process.send_signal(signal.SIGTERM)
    await until_gone(http)
    await asyncio.sleep(0.1)
    assert is_running(worker)
    await run.stop(signal.SIGTERM)
    assert run.process.returncode == 0
    assert not is_running(worker)


async def test_a_signal_while_it_starts_stops_it(house: FakeHouse) -> None:
    run = await house.up()
    await until(lambda: "postgres" in run.pids())
    pid = run.pids()["postgres"]
    await run.stop()
    assert run.process.returncode == 0
    assert not is_running(pid)
