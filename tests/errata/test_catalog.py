"""What the sketch of a catalog gets wrong: a function for each, named by the line of the sketch."""

import asyncio
from contextvars import Context
from decimal import Decimal
from typing import Any

import httpx
import pytest

from posthouse.runtime import Runtime
from tests.catalog.products import PRODUCT, made, send, walk
from tests.make import Maker


@pytest.mark.parametrize(("typed", "name"), [("%", "100% wool"), ("_", "a_b"), ("\\", "back\\up")])
async def test_L1083_wildcards_mean_themselves(
    client: httpx.AsyncClient, typed: str, name: str
) -> None:
    for one in ("100% wool", "a_b", "back\\up", "plain"):
        await made(client, name=one)
    for path in ("/search", "/products", "/products/stream"):
        items = (await client.get(f"/api/v1{path}", params={"q": typed})).json()["items"]
        assert [one["name"] for one in items] == [name]


@pytest.mark.parametrize("query", ["q=%00", "q=a&limit=9223372036854775808", "q=%ED%A0%80%00"])
async def test_L1083_no_text_or_number_breaks_a_search(
    client: httpx.AsyncClient, query: str
) -> None:
    assert (await client.get(f"/api/v1/search?{query}")).status_code in {400, 422}
    assert (await client.get("/api/v1/products?skip=9223372036854775808")).status_code == 422


async def test_L1083_order_is_the_same_on_each_page(client: httpx.AsyncClient) -> None:
    for number in range(6):
        await made(client, name=f"p{number}")
    first = (await client.get("/api/v1/products?limit=3")).json()["items"]
    for product in first:
        await client.patch(f"/api/v1/products/{product['id']}", json={"stock": 1})
    second = (await client.get("/api/v1/products?limit=3&skip=3")).json()["items"]
    assert [one["name"] for one in first + second] == [f"p{number}" for number in range(5, -1, -1)]


async def test_L1085_a_search_answers_as_its_schema_says(client: httpx.AsyncClient) -> None:
    await made(client)
    answer = await client.get("/api/v1/search?q=kettle")
    assert answer.status_code == 200
    assert set(answer.json()) == {"items", "next_cursor"}
    assert set(answer.json()["items"][0]) == {"type", "id", "name", "url", "score"}


async def test_L1106_what_is_no_field_is_refused(client: httpx.AsyncClient) -> None:
    product = await made(client)
    for extra in ("id", "is_admin", "nmae"):
        answer = await client.post("/api/v1/products", json={**PRODUCT, extra: 1})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "unknown-field")
    answer = await client.patch(f"/api/v1/products/{product['id']}", json={"nmae": "x"})
    assert answer.status_code == 422


@pytest.mark.parametrize("name", [" ", "a\x00b", "\ud800"])
async def test_L1107_a_name_says_something_that_can_be_kept(
    client: httpx.AsyncClient, name: str
) -> None:
    answer = await send(client, "POST", "/products", {**PRODUCT, "name": name})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.name")


async def test_L1108_prices_add_up(client: httpx.AsyncClient, runtime: Runtime) -> None:
    products = [await made(client, price=0.1) for _ in range(10)]
    assert sum(Decimal(one["price"]) for one in products) == 1
    async with runtime.parts.db.read() as connection:
        total = await connection.fetchval(
            "SELECT sum(price) * 100 FROM products WHERE id = ANY($1)",
            [one["id"] for one in products],
        )
    assert total == 100


@pytest.mark.parametrize("price", [1e-320, True, 29.999999])
async def test_L1108_what_is_no_price_is_refused(client: httpx.AsyncClient, price: object) -> None:
    answer = await client.post("/api/v1/products", json={**PRODUCT, "price": price})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.price")


async def test_L1110_a_category_has_the_same_bounds_everywhere(client: httpx.AsyncClient) -> None:
    product = await made(client)
    for category in ("", "x" * 101, "x" * 1_000_000):
        body: dict[str, Any] = {"category": category}
        made_so = await client.post("/api/v1/products", json={**PRODUCT, **body})
        changed = await client.patch(f"/api/v1/products/{product['id']}", json=body)
        assert (made_so.status_code, changed.status_code) == (422, 422)
    huge = await client.post("/api/v1/products", json={**PRODUCT, "category": "x" * 5_000_000})
    assert (huge.status_code, huge.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize("field", ["name", "price", "category"])
async def test_L1113_null_clears_only_what_can_be_cleared(
    client: httpx.AsyncClient, field: str
) -> None:
    path = f"/api/v1/products/{(await made(client, description='x'))['id']}"
    refused = await client.patch(path, json={field: None})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, f"body.{field}")
    assert (await client.patch(path, json={"description": None})).json()["description"] is None


async def test_L1127_no_path_is_redirected_to_the_host_that_was_sent(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/api/v1/products", "/api/v1/products/"):
        answer = await client.get(path)
        assert (answer.status_code, "location" in answer.headers) == (200, False)
        evil = await client.get(path, headers={"Host": "evil.example"})
        assert (evil.status_code, evil.json()["code"]) == (421, "unknown-host")


async def test_L1132_what_is_made_says_where_it_is_and_is_made_once(
    client: httpx.AsyncClient,
) -> None:
    body, headers = {**PRODUCT, "sku": "K-1"}, {"Idempotency-Key": "k"}
    first = await client.post("/api/v1/products", json=body, headers=headers)
    again = await client.post("/api/v1/products", json=body, headers=headers)
    other = await client.post("/api/v1/products", json=body)
    assert (first.status_code, again.content, other.status_code) == (201, first.content, 409)
    assert (await client.get(first.headers["location"])).json() == first.json()


async def test_L1151_a_change_without_a_body_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.patch(f"/api/v1/products/{(await made(client))['id']}")).status_code == 422


async def test_L1158_of_racing_changes_none_is_lost(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client, stock=0))['id']}"

    async def edit(number: int) -> int:
        headers = {"If-Match": '"v1"'}
        return (await client.patch(path, json={"stock": number}, headers=headers)).status_code

    async with asyncio.TaskGroup() as group:
        edits = [group.create_task(edit(number)) for number in range(15)]
    assert sorted(task.result() for task in edits) == [200, *[412] * 14]


async def test_L1165_of_two_deletes_one_finds_nothing(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/products/{(await made(client))['id']}"
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(client.delete(path)) for _ in range(2)]
    assert sorted(task.result().status_code for task in both) == [204, 404]


async def test_L1188_the_list_by_cursor_claims_no_total(client: httpx.AsyncClient) -> None:
    assert set((await client.get("/api/v1/products/stream")).json()) == {"items", "next_cursor"}


async def test_L1199_a_total_is_counted_when_it_is_asked_for(client: httpx.AsyncClient) -> None:
    await made(client)
    assert (await client.get("/api/v1/products")).json()["total"] is None
    assert (await client.get("/api/v1/products?total=true")).json()["total"] == 1


async def test_L1201_there_is_more_if_there_is_one_more_row(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await made(client)
    pages = [
        (await client.get(f"/api/v1/products?limit=2&skip={skip}")).json() for skip in (0, 1, 2)
    ]
    assert [page["has_more"] for page in pages] == [True, False, False]


async def test_L1206_a_product_that_commits_late_is_seen(
    client: httpx.AsyncClient, runtime: Runtime, make: Maker
) -> None:
    key = client.headers["authorization"].removeprefix("Bearer ")
    principal = await runtime.authenticator.authenticate(key)
    async with asyncio.TaskGroup() as group, runtime.parts.db.begin():
        late = await make.product(principal, name="late")
        # Another task, so not in this transaction.
        early = await group.create_task(made(client, name="early"), context=Context())
        paged = await group.create_task(
            walk(client, "/products/stream", sort="oldest"), context=Context()
        )
    assert [one["id"] for one in paged] == []
    for _ in range(100):
        seen = [one["id"] for one in await walk(client, "/products/stream", sort="oldest")]
        if len(seen) == 2:
            break
        await asyncio.sleep(0.1)
    assert seen == [late.id, early["id"]]


async def test_L1207_stream_is_not_taken_for_an_id(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/products/stream")).status_code == 200


@pytest.mark.parametrize("cursor", ["0", "-1", str(2**63), "1"])
async def test_L1214_a_cursor_cannot_be_guessed(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get(f"/api/v1/products/stream?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor-invalid")
