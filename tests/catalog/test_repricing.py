"""Prices are raised or lowered by a task, within what a price may be."""

from typing import Any

import httpx
import pytest

from tests.tasks.asking import ask, until


async def price_of(client: httpx.AsyncClient, made: httpx.Response) -> str:
    return (await client.get(made.headers["Location"])).json()["price"]


async def test_a_category_gets_new_prices(client: httpx.AsyncClient) -> None:
    made = [
        await client.post("/api/v1/products", json={"name": "x", "price": price, "category": kind})
        for price, kind in (("10.05", "home"), ("0.01", "home"), ("1000000", "home"), ("1", "x"))
    ]
    task = await until(
        client, await ask(client, "catalog.reprice", {"percent": 5, "category": "home"})
    )
    assert (task["status"], task["result"]) == ("completed", {"changed": 3})
    assert [await price_of(client, one) for one in made] == ["10.55", "0.01", "1000000.00", "1.00"]


@pytest.mark.parametrize("given", [{}, {"percent": -100}, {"percent": "x"}, {"percent": "NaN"},
                                   {"percent": 1, "category": ""}, {"percent": 1.234}])  # fmt: skip
async def test_a_change_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, given: dict[str, Any]
) -> None:
    answer = await client.post("/api/v1/tasks", json={"kind": "catalog.reprice", "input": given})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith("body.input.")
