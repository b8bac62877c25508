"""Making products."""

from typing import Any

import httpx
import pytest

from posthouse.catalog.service import Products
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.catalog.products import PRODUCT, made, send
from tests.conftest import client_of
from tests.make import Maker


async def test_a_product_keeps_all_that_it_was_given(client: httpx.AsyncClient) -> None:
    given = {
        "name": "Kettle",
        "price": "29.99",
        "currency": "CHF",
        "category": "kitchen",
        "description": "Boils.\nWhistles.",
        "sku": "K-1",
        "stock": 7,
        "tags": ["steel", "new", "new"],
    }
    answer = await client.post("/api/v1/products", json=given)
    product = answer.json()
    assert answer.status_code == 201
    assert {name: product[name] for name in given} == given | {"tags": ["new", "steel"]}
    assert answer.headers["location"] == f"/api/v1/products/{product['id']}"
    shown = await client.get(answer.headers["location"])
    assert shown.json() == product
    assert shown.headers["etag"] == answer.headers["etag"] == '"v1"'


async def test_a_product_needs_only_a_name_a_price_and_a_category(
    client: httpx.AsyncClient,
) -> None:
    product = await made(client)
    rest = {name: product[name] for name in ("currency", "description", "sku", "stock", "tags")}
    assert rest == {
        "currency": "EUR",
        "description": None,
        "sku": None,
        "stock": None,
        "tags": [],
    }
    assert isinstance(product["id"], int)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("29.99", "29.99"),
        (29.99, "29.99"),
        (29.9, "29.90"),
        (30, "30.00"),
        (1e2, "100.00"),
        ("0.01", "0.01"),
        (0.01, "0.01"),
        (999999.99, "999999.99"),
        (1_000_000, "1000000.00"),
        ("007", "7.00"),
    ],
)
async def test_a_price_is_kept_to_the_cent(
    client: httpx.AsyncClient, given: object, shown: str
) -> None:
    assert (await made(client, price=given))["price"] == shown


BAD: list[tuple[str, Any]] = [
    *[("name", bad) for bad in ("", " ", "x" * 201, "a\x00b", "\ud800", None, 5, "\u202e")],
    *[
        ("price", bad)
        for bad in (
            0, -1, "0", "0.00", "-1", "abc", "", " 1", "1 ", "1_000", "1e2", "NaN", "Infinity",
            "29.999", 29.999, 29.999999, 1e-320, 1e300, 1_000_000.01, "1000000.01", 10**30, True,
            None, [1], "٣", "+1", ".5", "1.", "99999999",
        )
    ],
    *[("category", bad) for bad in ("", " ", "x" * 101, "a\x00b", "\ud800", None)],
    *[("description", bad) for bad in ("x" * 2001, "a\x00b", "\ud800", 5)],
    *[("currency", bad) for bad in ("eur", "XXX", "EURO", "", 5)],
    *[("sku", bad) for bad in ("", " ", "x" * 65, "a\x00b", 5)],
    *[("stock", bad) for bad in (-1, True, "5", 1.0, 1.5, 2**63)],
    *[("tags", bad) for bad in ("x", [" "], ["x" * 51], ["x"] * 21, [5], None)],
    *[(name, 1) for name in ("id", "is_admin", "workspace_id", "version", "nmae", "state")],
]  # fmt: skip


@pytest.mark.parametrize(("field", "bad"), BAD, ids=lambda one: ascii(one)[:20])
async def test_what_breaks_a_rule_is_refused_by_name(
    client: httpx.AsyncClient, field: str, bad: Any
) -> None:
    answer = await send(client, "POST", "/products", {**PRODUCT, field: bad})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(f"body.{field}")
    assert (await client.get("/api/v1/products")).json()["items"] == []


async def test_a_number_that_is_not_json_is_refused(client: httpx.AsyncClient) -> None:
    answer = await send(client, "POST", "/products", {**PRODUCT, "price": float("nan")})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-json")


async def test_a_sku_is_taken_once_in_a_workspace(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    await made(client, sku="K-1")
    second = await client.post("/api/v1/products", json={**PRODUCT, "sku": "K-1"})
    assert (second.status_code, second.json()["code"]) == (409, "sku-taken")
    async with client_of(app, await make.key()) as neighbour:
        await made(neighbour, sku="K-1")


async def test_a_repeated_request_makes_one_product(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "make-kettle"}
    first, again = [
        await client.post("/api/v1/products", json=PRODUCT, headers=headers) for _ in range(2)
    ]
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await client.get("/api/v1/products")).json()["items"]) == 1


async def test_a_viewer_may_look_but_not_make(app: App, make: Maker) -> None:
    async with client_of(app, await make.key(role=Role.VIEWER)) as viewer:
        assert (await viewer.get("/api/v1/products")).status_code == 200
        assert (await viewer.post("/api/v1/products", json=PRODUCT)).status_code == 403


async def test_each_change_is_written_down(client: httpx.AsyncClient) -> None:
    product = await made(client)
    path = f"/api/v1/products/{product['id']}"
    await client.patch(path, json={"stock": 1, "name": "Pot"})
    await client.delete(path)
    await client.post(f"{path}/restore")
    entries = (await client.get("/api/v1/audit")).json()["items"]
    written = [(entry["action"], entry["subject"], entry["detail"]) for entry in entries]
    subject = str(product["id"])
    assert written == [
        ("product.restored", subject, {}),
        ("product.deleted", subject, {}),
        ("product.edited", subject, {"fields": ["name", "stock"]}),
        ("product.made", subject, {}),
    ]


async def test_each_change_is_told(runtime: Runtime, make: Maker) -> None:
    principal = await make.principal()
    products: Products = make.service(Products)
    async with runtime.parts.db.begin() as tx:
        product = await make.product(principal)
        await products.edit(principal, product.id, {"name": "Pot"})
        await products.delete(principal, product.id)
        # Read before the commit, after which the relay may take them.
        rows = await tx.fetch(
            "SELECT name, payload FROM outbox WHERE workspace_id = $1 ORDER BY id",
            principal.workspace_id,
        )
    told = [(row["name"], row["payload"].get("what")) for row in rows]
    assert told == [
        ("product.made", None),
        ("product.changed", "edited"),
        ("product.changed", "deleted"),
    ]
    assert {row["payload"]["product_id"] for row in rows} == {product.id}
