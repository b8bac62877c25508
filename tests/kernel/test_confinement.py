"""A child of the sandbox reaches its own folders, and neither the network nor another process."""

import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.kernel.confine import measures
from posthouse.kernel.sandbox import Reach, Sandbox, plain_environment

HERE = "tests.kernel.sandboxed"


@pytest.fixture(scope="module")
async def sandbox() -> AsyncGenerator[Sandbox]:
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    sandbox = Sandbox((HERE,), environment=plain_environment() | paths)
    yield sandbox
    sandbox.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A secret beside two folders of a child."""

    root: Path

    @property
    def reach(self) -> Reach:
        return Reach(read=(str(self.root / "in"),), write=(str(self.root / "out"),))

    def at(self, name: str) -> str:
        return str(self.root / name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "source").write_text("s")
    (tmp_path / "out" / "way").symlink_to(tmp_path / "secret")
    return Place(tmp_path)


def test_this_machine_has_both_measures() -> None:
    # The promises below rest on them; without one they would pass by chance.
    assert "seccomp" in measures()
    assert any(one.startswith("landlock-") for one in measures())


async def tried(sandbox: Sandbox, place: Place, *attempt: str) -> str:
    said: str = await sandbox.run(f"{HERE}:attempt", attempt, None, place.reach)
    return said


@pytest.mark.parametrize(("what", "name"), [("read", "in/source"), ("write", "out/new"),
                                            ("list", "in"), ("list", "out")])  # fmt: skip
async def test_its_own_folders_are_open(
    sandbox: Sandbox, place: Place, what: str, name: str
) -> None:
    assert await tried(sandbox, place, what, place.at(name)) == "done"


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("read", "secret"), ("read", "out/way"), ("read", "out/../secret"), ("list", "."),
        ("write", "in/source"), ("write", "in/new"), ("write", "new"), ("write", "out/way"),
        ("chmod", "secret"),
    ],
)  # fmt: skip
async def test_all_other_files_are_closed(
    sandbox: Sandbox, place: Place, what: str, name: str
) -> None:
    assert await tried(sandbox, place, what, place.at(name)) == "PermissionError"
    assert (place.root / "secret").read_text() == "s"
    assert (place.root / "in" / "source").read_text() == "s"


async def test_a_link_cannot_be_made(sandbox: Sandbox, place: Place) -> None:
    made = await tried(sandbox, place, "link", place.at("out/link"), place.at("secret"))
    assert made == "PermissionError"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/root", "/tmp", "/home", "/var", "/proc/1/environ"]
)
async def test_the_machine_is_closed(sandbox: Sandbox, place: Place, path: str) -> None:
    what = "list" if Path(path).is_dir() else "read"
    assert await tried(sandbox, place, what, path) in {"PermissionError", "FileNotFoundError"}


@pytest.mark.parametrize(
    "what", ["tcp", "unix", "run", "fork", "kill", "tgkill", "ptrace", "limits"]
)
async def test_neither_network_nor_other_processes_are_reached(
    sandbox: Sandbox, place: Place, what: str
) -> None:
    assert await tried(sandbox, place, what) in {"PermissionError", "ValueError"}


async def test_threads_may_be_started(sandbox: Sandbox, place: Place) -> None:
    assert await tried(sandbox, place, "thread") == "done"


async def test_libraries_find_a_folder_for_their_own_files(sandbox: Sandbox, place: Place) -> None:
    made = await sandbox.run(f"{HERE}:folder_for_libraries", None, None, place.reach)
    assert Path(made).parent == place.root / "out"


async def test_without_a_reach_nothing_can_be_written(sandbox: Sandbox, place: Place) -> None:
    said = await sandbox.run(f"{HERE}:attempt", ["write", place.at("out/new")])
    assert said == "PermissionError"


async def test_a_receipt_says_how_a_child_was_confined(sandbox: Sandbox, place: Place) -> None:
    async with sandbox.open(f"{HERE}:attempt", ["thread"], None, place.reach) as child:
        pass
    assert child.receipt is not None
    assert child.receipt.isolation == measures()
