"""`posthouse new-slice` makes a slice that fits into the house, or changes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from posthouse.operate import newslice
from posthouse.operate.slicenames import RefusedError, check_names, fresh_prefix, singular
from tests.live import free_port
from tests.operate.clone import ROOT, Clone, cloned

GUIDE = ROOT / "docs" / "guides" / "your-own-slice.md"
# As long as names may be, so that no line of the templates grows too long.
SLICE, NOUN = "gift_cardinalities_ab", "extraordinary_gift_ab"
LISTS = {" M importlinter.toml", " M src/posthouse/settings.py", " M src/posthouse/slices.py"}


@pytest.fixture
def clone() -> Generator[Clone]:
    with cloned() as clone:
        yield clone


@pytest.mark.slow
def test_a_new_slice_passes_the_checks_and_its_own_tests(clone: Clone) -> None:
    before = (clone.root / "importlinter.toml").read_text("utf-8")
    told = json.loads(clone.python("posthouse", "new-slice", SLICE, "--noun", NOUN, "--json"))
    assert clone.changes() == {f"?? {name}" for name in told["made"]} | LISTS
    assert {f" M {name}" for name in told["edited"]} == LISTS
    after = (clone.root / "importlinter.toml").read_text("utf-8")
    assert after.count(SLICE) == 3
    assert after.replace(f', "posthouse.{SLICE}"', "").replace(f'  "{SLICE}",\n', "") == before

    assert clone.run("git", "add", "-A").returncode == 0
    touched = [name for name in [*told["made"], *told["edited"]] if name.endswith(".py")]
    clone.python("ruff", "format", "--check", *touched)
    clone.python("ruff", "check", "--no-cache", *touched)
    clone.python("pyright", f"src/posthouse/{SLICE}", f"tests/{SLICE}")
    clone.python("tools.house")
    clone.python("codespell_lib", *told["made"])
    imports = str(Path(sys.executable).parent / "lint-imports")
    done = clone.run(imports, "--config", "importlinter.toml", "--no-cache")
    assert done.returncode == 0, done.stdout
    dashed = SLICE.replace("_", "-")
    houses = ("tests/house/test_statements.py", "tests/house/test_routes.py")
    wanted = ("-k", f"{SLICE} or {dashed} or schema")
    assert "passed" in clone.python("pytest", "-q", f"tests/{SLICE}", *houses, *wanted)


@pytest.mark.slow
def test_two_slices_stand_beside_each_other(clone: Clone) -> None:
    for name in ("parcels", "porcelains"):
        clone.python("posthouse", "new-slice", name)
    script = (
        "from posthouse.slices import SLICES; from posthouse.migrations import head;"
        "from posthouse.parcels.model import PARCEL; from posthouse.porcelains.model import *;"
        "print([one.name for one in SLICES][-2:], head(), PARCEL.name, PORCELAIN.name)"
    )
    done = clone.run(sys.executable, "-c", script)
    newest = int(clone_head()) + 2
    assert done.stdout == f"['parcels', 'porcelains'] {newest:04} prc por\n", done.stderr


def clone_head() -> str:
    from posthouse.migrations import head

    return head()


@pytest.mark.slow
def test_a_refusal_changes_nothing(clone: Clone) -> None:
    verb = (sys.executable, "-m", "posthouse", "new-slice")
    taken = clone.run(*verb, "links")
    assert (taken.returncode, "is taken" in taken.stderr) == (73, True)
    outside = clone.run(*verb, "parcels", cwd=Path("/tmp"))
    assert (outside.returncode, "in a clone" in outside.stderr) == (64, True)
    settings = clone.root / "src" / "posthouse" / "settings.py"
    odd = settings.read_text("utf-8").replace("\nCommaList = ", "\nCommas = CommaList = ")
    settings.write_text(odd, "utf-8")
    changed = clone.run(*verb, "parcels")
    assert (changed.returncode, "changed its shape" in changed.stderr) == (64, True)
    assert clone.changes() == {" M src/posthouse/settings.py"}
    assert settings.read_text("utf-8") == odd


def test_a_move_that_fails_is_taken_back(tmp_path: Path) -> None:
    stage, root = tmp_path / "stage", tmp_path / "root"
    for name in ("new", "importlinter.toml", "nowhere/b"):
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new", "utf-8")
    root.mkdir()
    (root / "importlinter.toml").write_text("old", "utf-8")
    with pytest.raises(FileNotFoundError):
        newslice._move_in(stage, root, ("new", "importlinter.toml", "nowhere/b"))
    assert {path.name: path.read_text("utf-8") for path in root.iterdir()} == {
        "importlinter.toml": "old"
    }


@pytest.mark.parametrize(
    ("plural", "noun", "exit_code"),
    [
        ("ab", "a", 64),
        ("Parcels", "parcel", 64),
        ("parcels2", "parcel", 64),
        ("gift__cards", "gift_card", 64),
        ("gift_cards_", "gift_card", 64),
        ("../parcels", "parcel", 64),
        ("x" * 22, "parcel", 64),
        ("sheep", "sheep", 64),
        ("classes", "class", 64),
        ("lists", "list", 64),
        ("events", "event", 64),
        ("stores", "store", 64),
        ("references", "reference", 64),
        ("embedded", "server", 73),
        ("links", "link", 73),
        ("products", "product", 73),
        ("articles", "product", 73),
        ("members", "participant", 73),
        ("house", "home", 73),
        ("docs", "paper", 73),
        ("rate_cards", "rate_card", 73),
    ],
)
def test_a_name_that_will_not_do_is_refused(plural: str, noun: str, exit_code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        check_names(plural, noun, ROOT)
    assert refused.value.exit_code == exit_code, refused.value


@pytest.mark.parametrize(
    ("plural", "noun"), [("parcels", "parcel"), ("gift_cards", "gift_card"), ("mice", "mouse")]
)
def test_a_name_that_is_free_will_do(plural: str, noun: str) -> None:
    check_names(plural, noun, ROOT)


def test_the_noun_and_its_prefix_are_guessed() -> None:
    assert [singular(one) for one in ("parcels", "parties", "sheep")] == ["parcel", "party", ""]
    # `fil`, `lnk` and `usr` belong to others.
    assert fresh_prefix("filter") == "flt"
    assert fresh_prefix("user") != "usr"
    assert fresh_prefix("link") != "lnk"


def commands_of(guide: str) -> list[str]:
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    return "".join(blocks).replace("\\\n", " ").splitlines()


@pytest.mark.slow
def test_the_guide_leads_to_an_endpoint_in_twelve_commands(clone: Clone) -> None:
    commands = commands_of(GUIDE.read_text("utf-8"))
    assert len(commands) <= 12
    process = subprocess.Popen(
        ["bash", "-c", "set -e\n" + "\n".join([*commands, "wait"])],
        cwd=clone.root,
        env={
            **clone.environ,
            "POSTHOUSE_PORT": str(free_port()),
            "POSTHOUSE_ADMIN_PORT": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=180)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
    assert "passed" in out, out + err
    made, listed = (json.loads(line) for line in re.findall(r'\{"i.*?\}(?=\{|\s|$)', out)[-2:])
    assert (made["name"], made["state"]) == ("First", "active"), out + err
    assert listed == {"items": [made], "next_cursor": None}
