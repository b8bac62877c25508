"""Who guesses passwords is slowed down, per account and per address, and nobody is locked out."""

from dataclasses import replace

import httpx
import pytest

from posthouse.accounts.attempts import Attempts
from posthouse.accounts.errors import WrongCredentialsError
from posthouse.accounts.sessions import Sessions
from posthouse.accounts.settings import AccountsSettings
from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.db import DatabaseLimits, open_database
from posthouse.kernel.edge import App
from posthouse.kernel.errors import DatabaseUnavailableError
from posthouse.kernel.ratelimit import RateLimitedError, StrictLimiter
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.accounts.people import add, caller_at, fresh_address, fresh_email, log_in, tokens_of

NOWHERE = "redis://127.0.0.1:1"


def sessions_of(runtime: Runtime) -> Sessions:
    found = runtime.services[Sessions]
    assert isinstance(found, Sessions)
    return found


async def test_one_account_is_tried_ten_times_a_minute_from_wherever(
    client: httpx.AsyncClient, app: App
) -> None:
    person = await add(client)
    answers: list[httpx.Response] = []
    for number in range(40):
        async with caller_at(app) as visitor:
            username = person.email if number % 2 else person.email.upper()
            body = {"username": username, "password": "no"}
            answers.append(await visitor.post("/login", json=body))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {401, 429}
    # One comes back every six seconds.
    assert 10 <= statuses.count(401) <= 13
    assert answers[-1].json()["code"] == "rate-limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 6


async def test_one_address_tries_thirty_times_a_minute_at_whatever(app: App) -> None:
    async with caller_at(app) as visitor:
        statuses = [
            (
                await visitor.post("/login", json={"username": fresh_email(), "password": "no"})
            ).status_code
            for _ in range(50)
        ]
    assert set(statuses) == {401, 429}
    assert 30 <= statuses.count(401) <= 36


async def test_others_log_in_meanwhile(client: httpx.AsyncClient, app: App) -> None:
    victim, other = await add(client), await add(client)
    for _ in range(15):
        async with caller_at(app) as visitor:
            await visitor.post("/login", json=victim.credentials(password="no"))
    await tokens_of(app, other)


async def test_an_unknown_account_is_limited_like_a_known_one(app: App) -> None:
    email = fresh_email()
    statuses: list[int] = []
    for _ in range(20):
        async with caller_at(app) as visitor:
            body = {"username": email, "password": "no"}
            statuses.append((await visitor.post("/login", json=body)).status_code)
    assert 10 <= statuses.count(401) <= 12


async def test_the_current_password_cannot_be_guessed_either(
    client: httpx.AsyncClient, app: App
) -> None:
    person = await add(client)
    async with await log_in(app, person) as caller:
        body = {"password": "another tin lantern", "current_password": "no"}
        statuses = [(await caller.patch("/me", json=body)).status_code for _ in range(20)]
    assert set(statuses) == {422, 429}
    assert statuses.count(422) <= 12


@pytest.mark.parametrize("is_one_account", [True, False])
async def test_without_valkey_the_tries_are_counted_in_postgres(
    runtime: Runtime, *, is_one_account: bool
) -> None:
    cache = open_cache(NOWHERE, SystemClock())
    limits = AccountsSettings(login_per_minute=5, login_per_minute_address=5)
    limiter = StrictLimiter(cache, runtime.parts.db)
    sessions = replace(sessions_of(runtime), attempts=Attempts.of(limiter, limits))
    email, address = fresh_email(), fresh_address()
    refused = 0
    # Windows of a minute: at most one begins while this runs.
    for _ in range(11):
        username = email if is_one_account else fresh_email()
        network = fresh_address() if is_one_account else address
        try:
            await sessions.log_in(username, "no", network=network)
        except WrongCredentialsError:
            continue
        except RateLimitedError:
            refused += 1
    await cache.close()
    assert 1 <= refused <= 6


async def test_without_both_nothing_is_tried(runtime: Runtime, settings: Settings) -> None:
    cache = open_cache(NOWHERE, SystemClock())
    db = await open_database(settings.database_url, DatabaseLimits(connections=2))
    await db.close()
    attempts = Attempts.of(StrictLimiter(cache, db), AccountsSettings())
    sessions = replace(sessions_of(runtime), attempts=attempts)
    with pytest.raises(DatabaseUnavailableError):
        await sessions.log_in(fresh_email(), "no", network=fresh_address())
    await cache.close()
