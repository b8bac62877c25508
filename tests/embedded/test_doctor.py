"""The doctor says what is wrong in words, and what to do."""

import json
import os
import socket
from pathlib import Path

import asyncpg
import pytest

from posthouse.embedded import embedded_servers
from posthouse.operate import doctor, keep, machine, running
from posthouse.operate.findings import Finding, State


def _by_name(found: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


async def test_a_running_house_without_tables_is_told_to_migrate(data: Path) -> None:
    async with embedded_servers(data, durable=False) as servers:
        found = _by_name(await doctor.examine({"POSTHOUSE_PORT": "1"}, data))
        assert str(os.getpid()) in found["running"].says
        assert found["postgres"].state == found["valkey"].state == State.OK
        assert found["durability"].state is State.FAIL
        assert found["pg_trgm"].state is State.OK
        assert (found["schema"].state, found["schema"].do) == (State.FAIL, "Run: posthouse migrate")
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        await connection.execute(
            "CREATE TABLE alembic_version AS SELECT 'from the future'::text AS version_num"
        )
        await connection.close()
        found = _by_name(await running.examine_running({}, data))
        assert "newer posthouse" in found["schema"].do


async def test_servers_that_do_not_answer_are_found(tmp_path: Path) -> None:
    environ = {
        "POSTHOUSE_DATABASE_URL": f"postgresql://x@/x?host={tmp_path}",
        "POSTHOUSE_VALKEY_URL": f"unix://{tmp_path}/valkey.sock",
    }
    found = _by_name(await running.examine_running(environ, tmp_path))
    assert found["postgres"].state is State.FAIL
    assert found["valkey"].state is State.WARN


def test_a_taken_port_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = str(server.getsockname()[1])
        finding = machine.port({"POSTHOUSE_PORT": said}, tmp_path)
    assert finding.state is State.WARN
    assert f"pid {os.getpid()}" in finding.says
    assert machine.port({"POSTHOUSE_PORT": "x"}, tmp_path).state is State.FAIL


def test_a_secret_that_others_can_read_is_a_failure(tmp_path: Path) -> None:
    assert len(keep.secret(tmp_path)) == 64
    assert [finding.state for finding in machine.private_files(tmp_path)] == [State.OK]
    (tmp_path / "secret").chmod(0o644)
    (finding,) = machine.private_files(tmp_path)
    assert finding.do == f"Run: chmod 600 {tmp_path / 'secret'}"


def test_a_directory_that_is_not_one_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert machine.data_directory(tmp_path / "file").state is State.FAIL
    assert "will be made" in machine.data_directory(tmp_path / "new" / "data").says


@pytest.mark.parametrize(("free", "state"), [(50, State.OK), (9, State.WARN), (4, State.FAIL)])
def test_a_full_disk_is_told(free: int, state: State) -> None:
    assert machine.room(free, 100, Path("data")).state is state


def test_a_folder_without_postgres_is_a_failure(tmp_path: Path) -> None:
    found = _by_name([*machine.server_programs({"POSTHOUSE_POSTGRES_BIN": str(tmp_path)})])
    assert found["postgres program"].state is State.FAIL
    assert found["valkey program"].state is State.OK


def test_it_tells_how_steps_are_confined() -> None:
    found = machine.isolation()
    assert found.state is State.OK
    assert "landlock" in found.says
    assert "seccomp" in found.says


async def test_a_bucket_that_does_not_answer_is_found(tmp_path: Path) -> None:
    url = "s3://key:secret@bucket?endpoint=http://127.0.0.1:9"
    environ = {"POSTHOUSE_BLOBS_URL": url}
    found = _by_name(await running.examine_running(environ, tmp_path))
    assert found["storage"].state is State.FAIL
    found = _by_name(await running.examine_running({}, tmp_path))
    assert str(tmp_path / "blobs") in found["storage"].says


def test_it_prints_words_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTHOUSE_PORT", "0")
    code = doctor.main(tmp_path, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert code == int(any(finding["state"] == "fail" for finding in found))
    doctor.main(tmp_path)
    assert "data directory" in capsys.readouterr().out
