"""`posthouse files …` and `posthouse process` on the command line."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from posthouse.cli import app as top
from posthouse.files.commands import app as commands
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.files.sending import CSV
from tests.live import live_server
from tests.make import Maker

Run = Callable[..., Awaitable[Result]]
PROFILE = "steps:\n  profile: {use: table.profile}\n  rows: {use: table.convert, to: ndjson}\n"


@pytest.fixture(scope="module")
def url(settings: Settings, runtime: Runtime) -> Generator[str]:
    del runtime  # its worker does the work
    with live_server(settings) as url:
        yield url


@pytest.fixture
async def run(url: str, make: Maker) -> Run:
    env = {"POSTHOUSE_URL": url, "POSTHOUSE_API_KEY": await make.key()}

    async def go(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, commands, list(words), env=env)

    return go


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_bytes(CSV)
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "profile.yaml"
    path.write_text(PROFILE, "utf-8")
    return path


async def test_a_file_goes_up_is_worked_on_and_its_results_come_back(
    run: Run, table: Path, recipe: Path, tmp_path: Path
) -> None:
    sent = await run("upload", str(table), "--recipe", str(recipe), "--watch")
    assert sent.exit_code == 0, sent.output
    assert "completed" in sent.output
    (listed,) = json.loads((await run("list", "--json")).stdout)
    assert listed["name"] == "prices.csv"
    out = tmp_path / "out"
    out.mkdir()
    got = await run("get", listed["id"], "--output", str(out), "--json")
    assert got.exit_code == 0, got.output
    assert sorted(path.name for path in out.iterdir()) == [
        "prices.profile.json",
        "prices.rows.ndjson",
    ]
    assert json.loads((out / "prices.rows.ndjson").read_text().splitlines()[0])["name"] == "Lamp"
    source = await run("get", listed["id"], "source", "-o", str(tmp_path / "again.csv"))
    assert source.exit_code == 0, source.output
    assert (tmp_path / "again.csv").read_bytes() == CSV
    assert (await run("delete", listed["id"])).exit_code == 0
    assert (await run("status", listed["id"])).exit_code == 66


async def test_work_that_fails_ends_with_1_and_says_why(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no photo")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("steps: {t: {use: image.placeholder}}")
    result = await run("upload", str(broken), "--recipe", str(recipe), "--watch")
    assert result.exit_code == 1
    assert "bad-input" in result.output
    (listed,) = json.loads((await run("list", "--json")).stdout)
    nothing = await run("get", listed["id"])
    assert nothing.exit_code == 66
    assert "source" in nothing.output


async def test_recipes_are_saved_shown_checked_and_deleted(run: Run, recipe: Path) -> None:
    saved = await run("recipes", "save", "profile", str(recipe), "--json")
    assert json.loads(saved.stdout)["version"] == 1
    assert "profile" in (await run("recipes", "list")).output
    shown = json.loads((await run("recipes", "show", "profile", "--json")).stdout)
    assert list(shown["steps"]) == ["profile", "rows"]
    checked = await run("recipes", "check", "profile", "--type", "text/csv", "--json")
    assert [one["step"] for one in json.loads(checked.stdout)["steps"]] == ["profile", "rows"]
    refused = await run("recipes", "check", str(recipe), "--type", "image/png")
    assert refused.exit_code == 65
    assert (await run("recipes", "delete", "profile")).exit_code == 0
    assert (await run("recipes", "show", "profile")).exit_code == 66


async def test_what_there_is_and_how_much_is_told(run: Run, table: Path) -> None:
    sent = await run("upload", str(table), "--json")
    assert json.loads(sent.stdout)["status"] == "completed"
    assert json.loads((await run("usage", "--json")).stdout)["used_bytes"] == len(CSV)
    assert "image.resize" in (await run("processors")).output


async def test_a_file_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    assert (await run("upload", str(tmp_path / "none"))).exit_code == 66
    assert (await run("recipes", "save", "x", str(tmp_path / "none"))).exit_code == 66
    bad = tmp_path / "bad.yaml"
    bad.write_text("{: [")
    assert (await run("recipes", "save", "x", str(bad))).exit_code == 65


def test_a_recipe_runs_without_a_server(table: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    words = ["process", str(table), "--recipe", str(recipe), "-o", str(out), "--json"]
    result = CliRunner().invoke(top, words)
    assert result.exit_code == 0, result.output
    saved = json.loads(result.stdout)
    assert [one["name"] for one in saved] == ["profile", "rows"]
    assert (out / "prices.rows.ndjson").is_file()
    assert "seccomp" in saved[0]["isolation"]


def test_a_recipe_that_does_not_fit_is_refused_without_a_server(
    recipe: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n")
    result = CliRunner().invoke(top, ["process", str(photo), "--recipe", str(recipe)])
    assert result.exit_code == 65
    assert "type-not-allowed" in result.output
