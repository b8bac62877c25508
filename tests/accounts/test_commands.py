"""`posthouse accounts …` on the command line, against a server that listens."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner, Result

from posthouse.accounts.commands import app as commands
from posthouse.kernel.edge import App
from tests.accounts.people import PASSWORD, add, fresh_email
from tests.make import Maker

Run = Callable[..., Awaitable[Result]]


@pytest.fixture(scope="module")
async def url(app: App) -> AsyncGenerator[str]:
    config = uvicorn.Config(app, port=0, interface="asgi3", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True


@pytest.fixture
async def run(url: str, make: Maker) -> Run:
    env = {"POSTHOUSE_URL": url, "POSTHOUSE_API_KEY": await make.key()}

    async def go(*words: str, typed: str | None = None) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, commands, list(words), input=typed, env=env
        )

    return go


async def test_a_user_is_added_with_a_password_that_is_typed(run: Run) -> None:
    email = fresh_email()
    result = await run(
        "users", "add", email, "--name", "Ann", "--json", typed=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    made = json.loads(result.stdout[result.stdout.index("{") :])
    shown = await run("users", "show", made["id"], "--json")
    assert json.loads(shown.stdout) == made
    listed = await run("members", "list", "--json")
    assert [member["email"] for member in json.loads(listed.stdout)] == [email]


async def test_a_key_is_added_listed_and_revoked(run: Run, url: str) -> None:
    added = await run("keys", "add", "Deploy", "--role", "viewer", "--scope", "links:read")
    key = added.stdout.strip()
    assert key.startswith("ph_live_")
    async with httpx.AsyncClient(base_url=url) as http:
        headers = {"Authorization": f"Bearer {key}"}
        me = (await http.get("/api/v1/me", headers=headers)).json()
        listed = json.loads((await run("keys", "list", "--json")).stdout)
        assert listed[0]["id"] == me["id"]
        revoked = await run("keys", "revoke", me["id"])
        assert (revoked.exit_code, revoked.stdout) == (0, f"{me['id']} is revoked.\n")
        assert (await http.get("/api/v1/me", headers=headers)).status_code == 401
    said = json.loads((await run("audit", "--action", "key.revoked", "--json")).stdout)
    assert [entry["subject"] for entry in said] == [me["id"]]


async def test_people_get_tables(run: Run) -> None:
    await run("keys", "add", "Deploy")
    for words, seen in (
        (("keys", "list"), "Deploy"),
        (("audit",), "key.made"),
        (("members", "list"), "0 shown"),
    ):
        result = await run(*words)
        assert result.exit_code == 0
        assert seen in result.stdout


async def test_an_error_ends_with_words_and_a_code(run: Run) -> None:
    unknown = await run("users", "show", "usr_" + "0" * 26)
    assert unknown.exit_code == 66
    assert "user-not-found" in unknown.output
    scope = await run("keys", "add", "k", "--scope", "nope")
    assert scope.exit_code == 65
    assert "unknown-scope" in scope.output


async def test_members_are_listed_beyond_one_page(run: Run, client: httpx.AsyncClient) -> None:
    await add(client)
    result = await run("members", "list", "--limit", "1", "--json")
    assert json.loads(result.stdout) == []
