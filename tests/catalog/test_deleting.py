"""Deleting products, and bringing them back."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.catalog.products import PRODUCT, made


async def test_a_deleted_product_is_gone_until_it_is_restored(client: httpx.AsyncClient) -> None:
    product = await made(client)
    path = f"/api/v1/products/{product['id']}"
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get(path)).json()["code"] == "product-not-found"
    assert (await client.patch(path, json={"stock": 1})).status_code == 404
    assert (await client.delete(path)).status_code == 404
    assert (await client.get("/api/v1/products")).json()["items"] == []
    listed = (await client.get("/api/v1/products?state=deleted")).json()["items"]
    assert [(one["id"], one["state"]) for one in listed] == [(product["id"], "deleted")]
    for _ in range(2):
        restored = await client.post(f"{path}/restore")
        assert (restored.status_code, restored.json()["state"]) == (200, "active")
    assert (await client.get(path)).json()["version"] == 3


async def test_of_two_who_delete_one_hears_that_it_is_gone(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        path = f"/api/v1/products/{(await made(client))['id']}"
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(client.delete(path)) for _ in range(2)]
        assert Counter(task.result().status_code for task in both) == {204: 1, 404: 1}


async def test_a_product_that_has_changed_is_not_deleted(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client))['id']}"
    await client.patch(path, json={"stock": 1})
    stale = await client.delete(path, headers={"If-Match": '"v1"'})
    assert stale.status_code == 412
    assert (await client.delete(path, headers={"If-Match": '"v2"'})).status_code == 204


async def test_the_sku_of_a_deleted_product_is_free(client: httpx.AsyncClient) -> None:
    old = await made(client, sku="K-1")
    await client.delete(f"/api/v1/products/{old['id']}")
    await made(client, sku="K-1")
    answer = await client.post(f"/api/v1/products/{old['id']}/restore")
    assert (answer.status_code, answer.json()["code"]) == (409, "sku-taken")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("0", 422),
        ("-1", 422),
        ("abc", 422),
        ("1.5", 422),
        ("%00", 400),
        (str(2**31), 404),
        (str(2**63 - 1), 404),
        (str(2**63), 404),
        ("9" * 100, 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_number_that_no_product_has_is_refused(
    client: httpx.AsyncClient, method: str, number: str, status: int
) -> None:
    body = {"stock": 1} if method == "PATCH" else None
    answer = await client.request(method, f"/api/v1/products/{number}", json=body)
    assert answer.status_code == status, answer.text


async def test_the_path_is_not_redirected(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/products/", json=PRODUCT)
    assert answer.status_code == 201
