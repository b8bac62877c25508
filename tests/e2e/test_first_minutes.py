"""The first ten minutes: one command in an empty directory, and what it says to do next works."""

import asyncio
import json
import shlex
import shutil
import signal
import sys
from time import monotonic
from typing import Any

import httpx
import pytest

from posthouse.embedded.place import socket_folder
from posthouse.embedded.postgres import database_url
from tests.documents import ROOT, snippets
from tests.e2e.installation import Installation, Said
from tests.embedded.parents import is_running, until_gone

COUNTED_S = 2.0
# The machine's own stalls: other tests run beside these.
NOISE_S = 4.0

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def paste(place: Installation, said: str) -> Any:
    """Do what the printed line says: in a shell, or without curl by the same request."""
    line = said.strip().splitlines()[-1].strip()
    if shutil.which("curl"):
        return (await place.shell(line)).json
    words = shlex.split(line)
    headers = dict(word.split(": ", 1) for word in words if ": " in word and word[0] != "{")
    async with httpx.AsyncClient() as client:
        return (await client.post(words[2], headers=headers, content=words[-1])).json()


async def follow(url: str) -> httpx.Response:
    async with httpx.AsyncClient(headers={"User-Agent": "Mozilla/5.0 Firefox/128.0"}) as client:
        return await client.get(url)


async def until_counted(place: Installation, link_id: str, clicks: int) -> float:
    """How long it takes until the statistics say `clicks`."""
    access = json.loads((place.data / "cli.json").read_text("utf-8"))
    headers = {"Authorization": f"Bearer {access['api_key']}"}
    since = monotonic()
    async with httpx.AsyncClient(base_url=access["url"], headers=headers) as client:
        while monotonic() - since < 30:
            answer = await client.get(f"/api/v1/links/{link_id}/stats")
            if answer.json()["clicks"] == clicks:
                break
            await asyncio.sleep(0.05)
    return monotonic() - since


async def test_from_an_empty_directory_to_a_counted_click(place: Installation) -> None:
    made = await paste(place, await place.up())
    assert made["url"] == "https://example.com/"
    followed = await follow(made["short_url"])
    assert (followed.status_code, followed.headers["location"]) == (302, "https://example.com/")
    assert await until_counted(place, made["id"], 1) < COUNTED_S + NOISE_S

    # The command line finds the house by itself.
    added = await place.command("links", "add", "https://example.com/two", "--code", "two-2")
    assert added.out.strip() == made["short_url"].replace(made["code"], "two-2")
    assert (await follow(added.out.strip())).headers["location"] == "https://example.com/two"
    listed = (await place.command("links", "list", "--json")).json
    assert [link["code"] for link in listed] == ["two-2", made["code"]]
    shown = (await place.command("links", "show", made["id"], "--json")).json
    assert shown["short_url"] == made["short_url"]

    # What the README says of a first message.
    access = json.loads((place.data / "cli.json").read_text("utf-8"))
    (block,) = [one for one in snippets(ROOT / "README.md", "sh") if "notify send" in one]
    for said, meant in (
        ("http://127.0.0.1:8000", access["url"]),
        ("ph_live_…", access["api_key"]),
        (".venv/bin/posthouse", f"{shlex.quote(sys.executable)} -m posthouse"),
    ):
        block = block.replace(said, meant)
    sent = await place.shell(f"set -e\n{block}")
    assert sent.code == 0, sent
    assert "Subject: Hello" in sent.out
    assert "How are you?" in sent.out
    assert (await place.command("links", "stats", made["id"], "--json")).json["clicks"] == 1
    taken = await place.command("links", "add", "https://example.com/", "--code", "two-2")
    assert taken.code != 0
    assert "code-taken" in taken.err

    assert is_all_well(await place.command("doctor", "--json"))
    assert (await place.command("doctor")).code == 0

    below = place.descendants()
    assert len(below) >= 4
    code, logged = await place.signal(signal.SIGINT)
    assert code == 0
    assert {json.loads(line)["level"] for line in logged.splitlines()} == {"info"}, logged
    assert not any(is_running(pid) for pid in below)
    gone = await place.command("links", "list")
    assert gone.code == 69
    assert "Is it running?" in gone.err

    again = await place.up()
    assert "API key" not in again  # shown once
    assert (await follow(made["short_url"])).status_code == 302
    assert await until_counted(place, made["id"], 2) < COUNTED_S + NOISE_S
    assert (await place.signal(signal.SIGTERM))[0] == 0


def is_all_well(said: Said) -> bool:
    """Whether the doctor found nothing that does not work."""
    found = said.json
    names = {finding["name"] for finding in found}
    assert {"postgres", "valkey", "schema", "durability"} <= names, names
    wrong = [finding for finding in found if finding["state"] == "fail"]
    assert not wrong, wrong
    return True


async def test_a_killed_parent_leaves_no_process_and_loses_no_data(place: Installation) -> None:
    made = await paste(place, await place.up())
    links = [made]
    for number in range(5):
        added = await place.command("links", "add", f"https://example.com/{number}", "--json")
        links.append(added.json)
    for link in links:
        assert (await follow(link["short_url"])).status_code == 302
    for link in links:
        await until_counted(place, link["id"], 1)
    below = place.descendants()
    await place.signal(signal.SIGKILL)
    await until_gone(*below)

    await place.up()
    listed = (await place.command("links", "list", "--json")).json
    assert {link["id"] for link in listed} == {link["id"] for link in links}
    for link in links:
        followed = await follow(link["short_url"])
        assert followed.headers["location"] == link["url"]
        assert await until_counted(place, link["id"], 2) < COUNTED_S + NOISE_S
    assert is_all_well(await place.command("doctor", "--json"))
    assert (await place.signal(signal.SIGINT))[0] == 0


async def test_migrate_says_that_there_is_nothing_to_do(place: Installation) -> None:
    await place.up()
    url = database_url(socket_folder(place.data))
    said = await place.command("migrate", POSTHOUSE_DATABASE_URL=url)
    assert said.code == 0, said
    assert (await place.signal(signal.SIGINT))[0] == 0
