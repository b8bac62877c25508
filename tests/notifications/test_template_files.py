"""Templates as files, and `posthouse templates …` on the command line."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from posthouse.notifications.templatecommands import app as commands
from posthouse.notifications.templatefiles import (
    FileProblemError,
    keys_in,
    layouts_in,
    read_template,
    write_layout,
    write_template,
)
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.live import live_server
from tests.make import Maker

Run = Callable[..., Awaitable[Result]]
FILES = {
    "welcome/template.json": '{"name": "Welcome", "layout": "frame", "schema": {"type": "object"}}',
    "welcome/en.subject.txt": "Hello {{ name }}\n",
    "welcome/en.email.html": "<p>Hello {{ name }}</p>\n",
    "welcome/en.sms.txt": "Hello {{ name }}\n",
    "welcome/de-AT.push.json": '{"title": "Servus", "body": "{{ name }}"}',
    "welcome/en.push.json": '{"title": "Hello", "body": "{{ name }}", "url": "https://example.com/"}',
    "layouts/frame.html": "<main>{{ content }}</main>\n",
    "layouts/frame.txt": "{{ content }}\n-- \nShop\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "templates", FILES)


def test_files_become_a_template(folder: Path) -> None:
    assert keys_in(folder) == ["welcome"]
    assert read_template(folder, "welcome") == {
        "name": "Welcome",
        "schema": {"type": "object"},
        "default_locale": "en",
        "layout": "frame",
        "locales": {
            "en": {
                "email": {"subject": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"},
                "sms": {"text": "Hello {{ name }}"},
                "push": {"title": "Hello", "body": "{{ name }}", "url": "https://example.com/"},
            },
            "de-AT": {"push": {"title": "Servus", "body": "{{ name }}"}},
        },
    }
    assert layouts_in(folder) == {
        "frame": {"html": "<main>{{ content }}</main>", "text": "{{ content }}\n-- \nShop"}
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("welcome/en.email.md", "x", "named by its language"),
        ("welcome/english.sms.txt", "x", "does not begin with a language"),
        ("welcome/template.json", "{", "line 1"),
        ("welcome/template.json", "[]", "no object"),
        ("welcome/template.json", '{"nmae": "x"}', "`nmae` is not known"),
        ("welcome/en.push.json", "5", "no object"),
        ("layouts/frame.md", "x", "a layout is"),
        ("Welcome/template.json", "{}", "a key has"),
    ],
)
def test_a_file_that_is_wrong_is_named(folder: Path, name: str, text: str, words: str) -> None:
    write(folder, {name: text})
    with pytest.raises(FileProblemError, match=words) as refused:
        for key in keys_in(folder):
            read_template(folder, key)
        layouts_in(folder)
    assert name.partition("/")[0] in str(refused.value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.fixed_dictionaries({"subject": TEXTS}, optional={"text": TEXTS, "mjml": TEXTS}),
        "sms": st.fixed_dictionaries({"text": TEXTS}),
        "push": st.fixed_dictionaries({"title": TEXTS, "body": TEXTS}, optional={"url": TEXTS}),
    },
).filter(bool)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["en", "de-AT", "zh-Hant-TW"]), PARTS, min_size=1))
def test_a_template_survives_being_files(
    tmp_path_factory: pytest.TempPathFactory, locales: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("templates")
    given = {
        "name": "N",
        "schema": None,
        "default_locale": "en",
        "layout": None,
        "locales": locales,
    }
    write_template(folder, {"key": "a", **given})
    assert read_template(folder, "a") == given


def test_what_a_server_names_stays_in_the_folder(tmp_path: Path) -> None:
    parts = {"sms": {"text": "x"}}
    rest = {"name": "x", "schema": None, "default_locale": "en", "layout": None}
    for key in ("../x", "/etc", "..", "a/b", ""):
        with pytest.raises(FileProblemError):
            write_template(tmp_path, {"key": key, **rest, "locales": {"en": parts}})
        with pytest.raises(FileProblemError):
            write_layout(tmp_path, {"key": key, "html": "x", "mjml": None, "text": None})
    for locale in ("../en", "en/../../x", "EN"):
        with pytest.raises(FileProblemError):
            write_template(tmp_path, {"key": "a", **rest, "locales": {locale: parts}})
    assert [path.name for path in tmp_path.iterdir()] in (["a"], ["a", "layouts"], ["layouts", "a"])


def preview(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(commands, ["preview", *words, "--folder", str(folder)])


def test_a_preview_needs_no_server(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text('{"name": "<Ann>"}', "utf-8")
    page = tmp_path / "page.html"
    made = preview(folder, "welcome", "--data", str(data), "--output", str(page), "--json")
    assert made.exit_code == 0, made.output
    shown = json.loads(made.stdout)
    assert shown["subject"] == "Hello <Ann>"
    assert shown["text"] == "Hello <Ann>\n-- \nShop"
    assert page.read_text("utf-8") == "<main><p>Hello &lt;Ann&gt;</p></main>" == shown["html"]
    push = preview(folder, "welcome", "-c", "push", "--locale", "de-AT", "--data", str(data))
    assert "Servus" in push.stdout


@pytest.mark.parametrize(
    ("files", "words", "code", "said"),
    [
        ({}, ["welcome"], 65, "name"),
        ({"welcome/en.subject.txt": "{{ x.__y__ }}"}, ["welcome"], 65, "line 1"),
        ({"welcome/template.json": '{"layout": "other"}'}, ["welcome"], 66, "no layout other"),
        ({}, ["nothing"], 65, "cannot be read"),
        ({}, ["welcome", "-c", "fax"], 65, "A channel is"),
        ({}, ["welcome", "--data", "/nowhere.json"], 66, "no JSON file"),
        ({"welcome/en.sms.txt": "x"}, ["welcome", "-c", "sms", "-o", "/x"], 65, "no HTML"),
    ],
)
def test_a_preview_that_fails_says_why(
    folder: Path, files: dict[str, str], words: list[str], code: int, said: str
) -> None:
    write(folder, files)
    made = preview(folder, *words)
    assert (made.exit_code, said in made.stderr) == (code, True), made.output


@pytest.fixture(scope="module")
def url(settings: Settings, runtime: Runtime) -> Generator[str]:
    del runtime
    with live_server(settings) as url:
        yield url


@pytest.fixture
async def run(url: str, make: Maker) -> Run:
    env = {"POSTHOUSE_URL": url, "POSTHOUSE_API_KEY": await make.key()}

    async def go(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, commands, list(words), env=env)

    return go


async def pushed(run: Run, *words: str) -> list[tuple[str, str, str, int | None]]:
    done = await run("push", *words, "--json")
    assert done.exit_code == 0, done.output
    return [
        (one["what"], one["key"], one["change"], one["published"])
        for one in json.loads(done.stdout)
    ]


async def test_to_push_shows_what_changes_and_publishes(run: Run, folder: Path) -> None:
    place = ("--folder", str(folder))
    assert await pushed(run, *place, "--dry-run") == [
        ("layout", "frame", "new", None), ("template", "welcome", "new", None),
    ]  # fmt: skip
    assert (await pushed(run, *place))[1] == ("template", "welcome", "new", None)
    assert await pushed(run, *place, "--publish") == [
        ("layout", "frame", "same", None), ("template", "welcome", "same", 1),
    ]  # fmt: skip
    write(folder, {"welcome/en.sms.txt": "Bye", "layouts/frame.txt": "{{ content }}"})
    assert await pushed(run, "welcome", *place, "--publish") == [
        ("layout", "frame", "changed", None), ("template", "welcome", "changed: en.sms", 2),
    ]  # fmt: skip
    listed = await run("list")
    assert "welcome" in listed.stdout
    assert (await run("push", "nothing", *place)).exit_code == 66


async def test_what_is_pulled_is_what_was_pushed(run: Run, folder: Path, tmp_path: Path) -> None:
    await pushed(run, "--folder", str(folder))
    other = write(tmp_path / "other", {"welcome/fr.sms.txt": "old", "welcome/notes.md": "mine"})
    done = await run("pull", "--folder", str(other))
    assert done.exit_code == 0, done.output
    assert read_again(other) == read_again(folder) | {"welcome/notes.md": "mine"}
    (other / "welcome" / "notes.md").unlink()
    assert {change for _, _, change, _ in await pushed(run, "--folder", str(other))} == {"same"}


def read_again(folder: Path) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.*")):
        text = path.read_text("utf-8").removesuffix("\n")
        name = str(path.relative_to(folder))
        texts[name] = json.loads(text) if path.suffix == ".json" else text
    texts["welcome/template.json"].setdefault("default_locale", "en")
    return texts


async def test_what_the_server_refuses_is_said_with_its_line(run: Run, folder: Path) -> None:
    write(folder, {"welcome/en.sms.txt": "a\n{% set x = 1 %}"})
    done = await run("push", "--folder", str(folder), "--publish")
    assert done.exit_code == 65
    assert "locales.en.sms.text: line 2: " in done.stderr
