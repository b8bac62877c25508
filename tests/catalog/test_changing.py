"""Changing products."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.catalog.products import made, send


async def test_what_is_absent_stays_and_null_clears(client: httpx.AsyncClient) -> None:
    product = await made(client, description="Boils.", sku="K-1", stock=3, tags=["a"])
    path = f"/api/v1/products/{product['id']}"
    cleared = {"description": None, "sku": None, "stock": None}
    answer = await client.patch(path, json=cleared)
    shown = answer.json()
    assert {**product, **cleared} == {**shown, "version": 1, "updated_at": product["updated_at"]}
    assert (answer.headers["etag"], shown["version"]) == ('"v2"', 2)
    assert (await client.get(path)).json() == shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Pot"),
        ("price", "12.50"),
        ("currency", "USD"),
        ("category", "garden"),
        ("description", "Big."),
        ("sku", "P-2"),
        ("stock", 0),
        ("tags", ["x"]),
    ],
)
async def test_each_field_can_be_changed_by_itself(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    product = await made(client)
    answer = await client.patch(f"/api/v1/products/{product['id']}", json={field: value})
    changed = {name for name, was in product.items() if answer.json()[name] != was}
    assert changed == {field, "version", "updated_at"}
    assert answer.json()[field] == value


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *[(name, None) for name in ("name", "price", "currency", "category", "tags")],
        *[("name", bad) for bad in ("", " ", "x" * 201, "a\x00b", "\ud800")],
        *[("price", bad) for bad in (0, 1e-320, 29.999, True, "abc", 1_000_001)],
        *[("category", bad) for bad in ("", " ", "x" * 101, "x" * 500_000)],
        ("description", "x" * 2001),
        *[("stock", bad) for bad in (-1, True, 1.0, 2**63)],
        *[(name, 1) for name in ("nmae", "id", "is_admin", "state", "version")],
        ("", {}),
    ],
    ids=lambda one: ascii(one)[:20],
)
async def test_a_bad_change_changes_nothing(
    client: httpx.AsyncClient, field: str, bad: Any
) -> None:
    product = await made(client)
    path = f"/products/{product['id']}"
    answer = await send(client, "PATCH", path, {field: bad} if field else {})
    assert answer.status_code == 422, answer.text
    named = f"body.{field}".rstrip(".")
    assert answer.json()["errors"][0]["field"].startswith(named)
    assert (await client.get(f"/api/v1{path}")).json() == product


async def test_a_change_without_a_body_is_refused(client: httpx.AsyncClient) -> None:
    product = await made(client)
    assert (await client.patch(f"/api/v1/products/{product['id']}")).status_code == 422


async def test_a_sku_that_is_taken_cannot_be_taken_over(client: httpx.AsyncClient) -> None:
    await made(client, sku="K-1")
    other = await made(client, sku="K-2")
    path = f"/api/v1/products/{other['id']}"
    answer = await client.patch(path, json={"sku": "K-1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "sku-taken")
    assert (await client.get(path)).json() == other


async def test_who_edits_what_has_changed_is_told(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client))['id']}"
    first = await client.patch(path, json={"stock": 1}, headers={"If-Match": '"v1"'})
    second = await client.patch(path, json={"stock": 2}, headers={"If-Match": '"v1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"v2"')
    assert (second.status_code, second.json()["code"]) == (412, "precondition-failed")
    odd = await client.patch(path, json={"stock": 3}, headers={"If-Match": "nonsense"})
    assert odd.status_code == 422


async def test_of_64_racing_edits_one_wins_each_version(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client, stock=0))['id']}"

    async def edit(number: int, version: int) -> int:
        tag = {"If-Match": f'"v{version}"'}
        return (await client.patch(path, json={"stock": number}, headers=tag)).status_code

    for version in (1, 2):
        async with asyncio.TaskGroup() as group:
            edits = [group.create_task(edit(number, version)) for number in range(64)]
        assert Counter(task.result() for task in edits) == {200: 1, 412: 63}
    assert (await client.get(path)).json()["version"] == 3


async def test_racing_edits_that_read_again_lose_none(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client, stock=0))['id']}"

    async def add_one() -> None:
        while True:
            read = await client.get(path)
            answer = await client.patch(
                path,
                json={"stock": read.json()["stock"] + 1},
                headers={"If-Match": read.headers["etag"]},
            )
            if answer.status_code == 200:
                return
            assert answer.status_code == 412, answer.text

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(add_one())
    assert (await client.get(path)).json()["stock"] == 12


async def test_edits_of_different_fields_without_a_tag_both_stay(
    client: httpx.AsyncClient,
) -> None:
    path = f"/api/v1/products/{(await made(client))['id']}"
    bodies: list[dict[str, object]] = [{"stock": 5}, {"name": "Pot"}, {"price": "1.00"}]
    async with asyncio.TaskGroup() as group:
        edits = [group.create_task(client.patch(path, json=body)) for body in bodies]
    assert {task.result().status_code for task in edits} == {200}
    shown = (await client.get(path)).json()
    assert (shown["stock"], shown["name"], shown["price"], shown["version"]) == (
        5,
        "Pot",
        "1.00",
        4,
    )
