"""Turning pages of products: filters, orders and totals."""

import httpx
import pytest

from posthouse.catalog import store
from posthouse.catalog.model import Filter, ProductSort
from posthouse.kernel.edge import App
from posthouse.kernel.pagination import Keyset
from posthouse.runtime import Runtime
from tests.catalog.products import made
from tests.conftest import client_of
from tests.make import Maker

LISTS = ["/products", "/products/stream"]


async def test_pages_follow_each_other(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await made(client, name=f"p{number}")
    first = (await client.get("/api/v1/products?limit=3")).json()
    last = (await client.get("/api/v1/products?skip=3&limit=3")).json()
    assert [one["name"] for one in first["items"] + last["items"]] == ["p4", "p3", "p2", "p1", "p0"]
    assert (first["has_more"], last["has_more"]) == (True, False)


async def test_the_total_is_counted_when_it_is_asked_for(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await made(client, category="a" if number else "b")
    assert (await client.get("/api/v1/products")).json()["total"] is None
    asked = await client.get("/api/v1/products?total=true&category=a&limit=1")
    assert (asked.json()["total"], asked.json()["has_more"]) == (2, True)
    beyond = await client.get("/api/v1/products?total=true&skip=100")
    assert beyond.json() == {"items": [], "has_more": False, "total": 3}


async def test_a_full_last_page_has_no_more(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await made(client)
    assert (await client.get("/api/v1/products?limit=2")).json()["has_more"] is False


async def test_another_workspace_sees_nothing(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    product = await made(client, name="Zebra")
    path = f"/api/v1/products/{product['id']}"
    async with client_of(app, await make.key()) as neighbour:
        for method in ("GET", "DELETE"):
            assert (await neighbour.request(method, path)).status_code == 404
        assert (await neighbour.patch(path, json={"stock": 1})).status_code == 404
        assert (await neighbour.post(f"{path}/restore")).status_code == 404
        for listed in (*LISTS, "/search?q=zebra"):
            assert (await neighbour.get(f"/api/v1{listed}")).json()["items"] == []
    assert (await client.get(path)).json() == product


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("newest", ["b 5", "a 10", "c 10", "a 20"]),
        ("name", ["a 20", "a 10", "b 5", "c 10"]),
        ("-name", ["c 10", "b 5", "a 10", "a 20"]),
        ("price", ["b 5", "c 10", "a 10", "a 20"]),
        ("-price", ["a 20", "a 10", "c 10", "b 5"]),
    ],
)
async def test_the_order_is_the_one_that_was_asked_for(
    client: httpx.AsyncClient, path: str, sort: str, order: list[str]
) -> None:
    for name, price in (("a", 20), ("c", 10), ("a", 10), ("b", 5)):
        await made(client, name=name, price=price)
    items = (await client.get(f"/api/v1{path}", params={"sort": sort})).json()["items"]
    assert [f"{one['name']} {float(one['price']):g}" for one in items] == order


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("category=kitchen", ["kettle"]),
        ("tag=new", ["lamp", "kettle"]),
        ("tag=new&tag=steel", ["kettle"]),
        ("currency=USD", ["lamp"]),
        ("min_price=10", ["lamp", "kettle"]),
        ("max_price=10.00", ["50%_off", "kettle"]),
        ("min_price=0&max_price=9.99", ["50%_off"]),
        ("in_stock=true", ["50%_off", "kettle"]),
        ("in_stock=false", ["lamp"]),
        ("q=KETT", ["kettle"]),
        ("q=k-1", ["kettle"]),
        ("q=%25", ["50%_off"]),
        ("q=_", ["50%_off"]),
        ("q=%5C", []),
        ("q=nothing", []),
        ("q=' OR 1=1 --", []),
        ("state=deleted", ["gone"]),
        ("category=kitchen&currency=USD", []),
    ],
)
async def test_a_filter_shows_what_fits(
    client: httpx.AsyncClient, path: str, query: str, found: list[str]
) -> None:
    kettle = {"price": 10, "tags": ["new", "steel"], "stock": 2, "sku": "K-1"}
    await made(client, name="kettle", **kettle)
    await made(client, name="lamp", category="x", price=20, tags=["new"], stock=0, currency="USD")
    await made(client, name="50%_off", category="x", price=5)
    gone = await made(client, name="gone")
    await client.delete(f"/api/v1/products/{gone['id']}")
    items = (await client.get(f"/api/v1{path}?{query}")).json()["items"]
    assert [one["name"] for one in items] == found


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        *[(f"limit={bad}", "limit") for bad in ("0", "101", "x", "9" * 30)],
        *[(f"q={bad}", "q") for bad in ("", "%20", "x" * 201)],
        *[(f"min_price={bad}", "min_price") for bad in ("x", "-1", "1e2", "NaN", "29.999", "2e9")],
        ("currency=XXX", "currency"),
        ("sort=id", "sort"),
        ("sort=price;DROP TABLE products", "sort"),
        ("state=gone", "state"),
        ("in_stock=5", "in_stock"),
        ("&".join(["tag=a"] * 11), "tag"),
        ("page=2", "page"),
    ],
)
async def test_a_bad_query_is_refused_by_name(
    client: httpx.AsyncClient, path: str, query: str, field: str
) -> None:
    answer = await client.get(f"/api/v1{path}?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(f"query.{field}")


async def test_each_order_reads_its_own_index(runtime: Runtime, make: Maker) -> None:
    principal, neighbour = [await make.principal() for _ in range(2)]
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "INSERT INTO products (workspace_id, name, price, currency, category) "
            "SELECT CASE WHEN n % 2 = 0 THEN $1::uuid ELSE $2::uuid END, "
            "'p' || n % 1000, 1 + n % 777, 'EUR', 'bulk' FROM generate_series(1, 20000) n",
            principal.workspace_id,
            neighbour.workspace_id,
        )
    await make.analyze("products")
    async with runtime.parts.db.begin() as tx:
        for sort, statement in store.PAGES.items():
            columns = {"oldest": "tx_id", "newest": "id"}.get(sort, sort.strip("-") + "_id")
            arguments = store._arguments(principal.workspace_id, Filter())
            await tx.execute(store._PLAN_EACH_TIME)
            rows = await tx.fetch(f"EXPLAIN {statement}", *arguments, None, None, 21, 0)
            plan = "\n".join(row[0] for row in rows)
            # Where one workspace has nearly all rows, the primary key is as good for the newest.
            fits = [f"ix_products_workspace_id_{columns} ", *["pk_products "] * (sort == "newest")]
            assert any(index in plan for index in fits), plan
            assert "Seq Scan" not in plan


async def test_items_and_total_are_of_one_moment(runtime: Runtime, make: Maker) -> None:
    principal = await make.principal()
    products = [await make.product(principal) for _ in range(3)]
    async with runtime.parts.db.snapshot() as tx:
        owner, wanted = principal.workspace_id, Filter()
        page = await store.page(tx, owner, wanted, ProductSort.NEWEST, Keyset(10))
        async with runtime.parts.db.session() as other:
            await other.execute("DELETE FROM products WHERE id = $1", products[0].id)
        assert await store.count(tx, owner, wanted) == len(page) == 3
