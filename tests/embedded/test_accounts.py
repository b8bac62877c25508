"""The servers run for root and for an ordinary user, and no folder of anybody else is changed."""

import os
import shutil
import signal
from pathlib import Path

import asyncpg
import pytest

from posthouse.embedded import EmbeddedError, embedded_servers
from posthouse.embedded.account import Account, check_has_name, server_account
from posthouse.embedded.programs import find_postgres, reachable
from tests.embedded.parents import owner_of, start_parent, until_gone

UNNAMED_UID = 54321


async def test_an_ordinary_user_runs_it(open_folder: Path, ordinary_uid: int) -> None:
    os.chown(open_folder, ordinary_uid, -1)
    parent = await start_parent(open_folder / "data", uid=ordinary_uid)
    connection = await asyncpg.connect(parent.database_url, timeout=5)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert {owner_of(pid) for pid in parent.pids} == {ordinary_uid}
    await parent.end(signal.SIGTERM)
    await until_gone(*parent.pids)
    assert (open_folder / "data" / "postgres").stat().st_uid == ordinary_uid


async def test_it_runs_beneath_a_closed_folder_and_leaves_that_closed(
    data: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.move(data, closed / "data")
    async with embedded_servers(closed / "data") as servers:
        connection = await asyncpg.connect(servers.database_url, timeout=5)
        await connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000); CHECKPOINT")
        await connection.close()
        assert owner_of(servers.postgres_pid) != 0
    assert closed.stat().st_mode & 0o777 == 0o700


def test_root_hands_the_servers_to_the_owner_of_the_files(open_folder: Path) -> None:
    files = open_folder / "postgres"
    files.mkdir()
    if os.geteuid():
        assert server_account(files) is None
        return
    os.chown(files, 65534, 65534)
    assert server_account(files) == Account("nobody", 65534, 65534)


async def test_a_user_id_without_a_name_is_told_what_to_do() -> None:
    with pytest.raises(EmbeddedError, match=f"useradd --uid {UNNAMED_UID}"):
        check_has_name(Account("", UNNAMED_UID, UNNAMED_UID))


def test_programs_in_a_closed_folder_are_copied_whole(tmp_path: Path, open_folder: Path) -> None:
    package = tmp_path / "closed" / "site-packages" / "some_postgres"
    (package / "bin").mkdir(parents=True)
    (package / "lib").mkdir()
    (package / "bin" / "postgres").write_text("#!/bin/sh\n")
    (package / "bin" / "postgres").chmod(0o755)
    (package.parent / "some_postgres.libs").mkdir()
    (tmp_path / "closed").chmod(0o700)
    program, account = package / "bin" / "postgres", Account("x", UNNAMED_UID, UNNAMED_UID)
    copies = open_folder / "programs"
    copy = reachable(program, account, copies)
    assert copy.is_relative_to(open_folder)
    assert (copy.parents[1] / "lib").is_dir()
    assert (copy.parents[2] / "some_postgres.libs").is_dir()
    assert reachable(program, account, copies) == copy


def test_programs_that_can_be_reached_are_not_copied() -> None:
    program = find_postgres() / "postgres"
    assert reachable(program, None) == program
