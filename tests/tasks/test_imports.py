"""Files of rows are imported whole or as far as they are valid, once, with a report of each row."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from tests.conftest import client_of
from tests.make import Maker
from tests.tasks.asking import until

GOOD = [
    {"name": "Lamp", "price": "29.99", "category": "home", "sku": "L-1", "tags": ["a", "b"]},
    {"name": "Chair", "price": 5, "category": "home", "stock": 3},
    {"name": "Desk", "price": "1000000", "category": "office", "currency": "USD"},
]
BAD = [
    {"name": "", "price": "1", "category": "x"},
    {"name": "Free", "price": 0, "category": "x"},
    {"name": "Twice", "price": "1", "category": "x", "sku": "L-1"},
]
LIST, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"


def as_lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def send(
    client: httpx.AsyncClient, body: Any, media_type: str = LINES, **query: Any
) -> httpx.Response:
    headers = {"Content-Type": media_type}
    if "key" in query:
        headers["Idempotency-Key"] = query.pop("key")
    path = query.pop("path", "/api/v1/products/import")
    return await client.post(path, content=body, headers=headers, params=query)


async def done(client: httpx.AsyncClient, *args: Any, **query: Any) -> dict[str, Any]:
    answer = await send(client, *args, **query)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/v1/tasks/{answer.json()['task_id']}"
    return await until(client, answer.json()["task_id"])


async def names(client: httpx.AsyncClient) -> list[str]:
    listed = await client.get("/api/v1/products", params={"limit": 100, "sort": "name"})
    return [one["name"] for one in listed.json()["items"]]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", "price", "category", "sku", "tags", "stock", "currency"])
    writer.writeheader()
    writer.writerows(row | {"tags": "|".join(row.get("tags", []))} for row in rows)
    return text.getvalue().encode()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (json.dumps(GOOD).encode(), LIST),
        (as_lines(GOOD), LINES),
        (as_csv(GOOD), CSV),
        (as_csv(GOOD).replace(b",", b";"), f"{CSV}; charset=utf-8"),
    ],
    ids=["json", "ndjson", "csv", "semicolons"],
)
async def test_all_forms_give_the_same_products(
    client: httpx.AsyncClient, body: bytes, media_type: str
) -> None:
    task = await done(client, body, media_type)
    assert task["status"] == "completed", task
    assert task["result"] == {
        "rows": 3, "imported": 3, "rejected": 0, "dry_run": False, "problems": [], "report": None,
    }  # fmt: skip
    listed = (await client.get("/api/v1/products", params={"sort": "name"})).json()["items"]
    chair, desk, lamp = listed
    assert (chair["price"], chair["stock"], chair["currency"]) == ("5.00", 3, "EUR")
    assert (desk["price"], desk["currency"]) == ("1000000.00", "USD")
    assert (lamp["sku"], lamp["tags"]) == ("L-1", ["a", "b"])
    assert task["progress"]["done"] == task["progress"]["total"]


async def test_one_bad_row_keeps_all_out(client: httpx.AsyncClient) -> None:
    task = await done(client, as_lines(GOOD + BAD))
    assert (task["status"], task["error"]["code"]) == ("failed", "import-rejected")
    assert {one["field"] for one in task["error"]["errors"]} >= {"row.4.name", "row.5.price"}
    assert await names(client) == []


async def test_what_the_database_refuses_keeps_all_out_too(client: httpx.AsyncClient) -> None:
    await done(client, as_lines(GOOD[:1]))
    task = await done(client, as_lines(GOOD))
    assert (task["status"], task["error"]["code"]) == ("failed", "import-rejected")
    assert (
        task["error"]["errors"]
        == [{"field": "row.1.sku", "code": "sku-taken", "message": "Another product has this SKU"}]
        or task["error"]["errors"][0]["code"] == "sku-taken"
    )
    assert await names(client) == ["Lamp"]


async def test_the_valid_rows_go_in_if_asked_for(client: httpx.AsyncClient) -> None:
    task = await done(client, as_lines(GOOD + BAD), mode="valid")
    assert task["status"] == "completed", task
    result = task["result"]
    assert (result["rows"], result["imported"], result["rejected"]) == (6, 3, 3)
    assert await names(client) == ["Chair", "Desk", "Lamp"]
    report = await client.get(result["report"])
    assert report.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(report.text)))
    assert {row["row"] for row in rows} == {"4", "5", "6"}
    assert {row["code"] for row in rows} >= {"sku-taken"}


async def test_a_dry_run_tells_all_and_changes_nothing(client: httpx.AsyncClient) -> None:
    task = await done(client, as_lines(GOOD + BAD), dry_run=True)
    assert task["status"] == "completed", task
    assert (task["result"]["imported"], task["result"]["rejected"]) == (0, 3)
    assert task["result"]["dry_run"] is True
    assert {one["row"] for one in task["result"]["problems"]} == {4, 5, 6}
    assert await names(client) == []


async def test_a_result_shows_a_hundred_problems_and_the_report_has_all(
    client: httpx.AsyncClient,
) -> None:
    task = await done(client, as_lines([{"name": "x"}] * 1500), mode="valid")
    assert len(task["result"]["problems"]) == 100
    report = (await client.get(task["result"]["report"])).text
    assert report.count("\r\n") == 1 + 2 * 1500  # price and category are missing in each
    assert task["result"]["rejected"] == 1500


async def test_a_formula_in_a_report_is_text(client: httpx.AsyncClient) -> None:
    row = {"name": "x", "price": "1", "category": "x", "=cmd|' /C calc'!A0": "x"}
    task = await done(client, as_lines([row]), mode="valid")
    (problem,) = csv.DictReader(io.StringIO((await client.get(task["result"]["report"])).text))
    assert problem["field"].startswith("'=")


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"[1", LIST, "malformed-json"),
        (b"{}", LIST, "malformed-json"),
        (b"\xff\xfe\n", CSV, "not-utf8"),
        (b"nmae,price\n", CSV, "header-invalid"),
        (b"[" * 100_000, LIST, "malformed-json"),
        (b"null\n5\n", LINES, "model-type"),
    ],
)
async def test_a_file_that_cannot_be_read_says_why(
    client: httpx.AsyncClient, body: bytes, media_type: str, code: str
) -> None:
    task = await done(client, body, media_type)
    assert task["status"] == "failed"
    assert task["error"]["errors"][0]["code"] == code, task
    assert "Traceback" not in str(task)


@pytest.mark.parametrize(
    ("body", "media_type", "query", "status"),
    [
        (b"", LINES, {}, 422),
        (b"x", "text/html", {}, 415),
        (b"x", "", {}, 415),
        (b"x", LINES, {"mode": "some"}, 422),
        (b"x", LINES, {"dryrun": "1"}, 422),
        (b"x", LINES, {"key": "ключ".encode()}, 422),
    ],
)
async def test_a_request_that_cannot_be_taken_is_refused(
    client: httpx.AsyncClient, body: bytes, media_type: str, query: Any, status: int
) -> None:
    assert (await send(client, body, media_type, **query)).status_code == status


async def test_a_file_is_counted_as_it_comes(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield b"x" * 1_000_000

    answer = await send(client, endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert sent < 60_000_000
    assert (await client.get("/api/v1/tasks")).json()["items"] == []


async def test_a_key_makes_an_upload_safe_to_repeat(client: httpx.AsyncClient) -> None:
    first = await send(client, as_lines(GOOD), key="one")
    again = await send(client, as_lines(GOOD), key="one")
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (
        await send(client, as_lines(GOOD[:1]), key="one"),
        await send(client, as_lines(GOOD), key="one", mode="valid"),
    ):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    await until(client, first.json()["task_id"])
    assert await names(client) == ["Chair", "Desk", "Lamp"]


async def test_a_key_in_flight_is_not_taken_twice(client: httpx.AsyncClient) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield as_lines(GOOD[:1])
        begun.set()
        await go_on.wait()
        yield as_lines(GOOD[1:])

    async with asyncio.TaskGroup() as group:
        first = group.create_task(send(client, slow(), key="two"))
        await begun.wait()
        await asyncio.sleep(0.1)
        second = await send(client, as_lines(GOOD), key="two")
        go_on.set()
    assert (second.status_code, second.json()["code"]) == (409, "idempotency-key-in-flight")
    assert first.result().status_code == 202


async def test_nobody_reads_a_foreign_report(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    task = await done(client, as_lines(BAD))
    async with client_of(app, await make.key()) as other:
        assert (await other.get(f"/api/v1/tasks/{task['id']}/report")).status_code == 404


USERS = [
    {"email": "Ann@example.com", "name": "Ann"},
    {"email": "bob@example.com", "name": "Bob", "role": "viewer"},
]


def users(tag: str, rows: list[dict[str, Any]] = USERS) -> bytes:
    return as_lines([row | {"email": row["email"].replace("@", f"+{tag}@")} for row in rows])


async def test_users_are_imported_as_members(client: httpx.AsyncClient) -> None:
    task = await done(client, users("a"), path="/api/v1/users/import")
    assert task["status"] == "completed", task
    members = (await client.get("/api/v1/members")).json()["items"]
    assert {(one["name"], one["role"]) for one in members} == {("Ann", "member"), ("Bob", "viewer")}


async def test_an_address_that_is_taken_in_whatever_case_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await done(client, users("b", USERS[:1]), path="/api/v1/users/import")
    rows = [*USERS, {"email": "BOB@example.com", "name": "Bob again"}]
    task = await done(client, users("b", rows), path="/api/v1/users/import", mode="valid")
    refused = [(one["row"], one["code"]) for one in task["result"]["problems"]]
    assert refused == [(1, "email-taken"), (3, "email-taken")]
    assert task["result"]["imported"] == 1


async def test_nobody_imports_a_higher_role_than_the_own(app: App, make: Maker) -> None:
    async with client_of(app, await make.key(role=Role.ADMIN)) as admin:
        rows = [USERS[0] | {"role": "owner"}]
        task = await done(admin, users("c", rows), path="/api/v1/users/import")
        assert task["error"]["errors"][0]["code"] == "role-too-high"
    async with client_of(app, await make.key(role=Role.MEMBER)) as member:
        answer = await send(member, users("d"), path="/api/v1/users/import")
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "password_hash",
    ["secret", "$2b$12$abc", "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$aGFzaA", "x" * 301],
)
async def test_a_hash_that_we_cannot_check_is_refused(
    client: httpx.AsyncClient, password_hash: str
) -> None:
    rows = [USERS[0] | {"password_hash": password_hash}]
    task = await done(client, users("e", rows), path="/api/v1/users/import")
    assert task["status"] == "failed"
    assert "password_hash" in task["error"]["errors"][0]["field"]


async def test_an_imported_hash_lets_its_owner_in_and_no_hash_lets_nobody_in(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    from argon2 import PasswordHasher

    known = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("an old password")
    rows = [USERS[0] | {"password_hash": known}, USERS[1]]
    await done(client, users("f", rows), path="/api/v1/users/import")
    for address, password, status in (
        ("Ann+f@example.com", "an old password", 200),
        ("Ann+f@example.com", "another password", 401),
        ("bob+f@example.com", "an old password", 401),
        ("bob+f@example.com", " ", 401),
    ):
        body = {"username": address, "password": password}
        assert (await stranger.post("/api/v1/login", json=body)).status_code == status, address
