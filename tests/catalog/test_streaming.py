"""Reading all products by cursor, whatever happens meanwhile."""

import asyncio
from random import Random  # noqa: TID251  a seeded choice, no secret

import httpx
import pytest

from posthouse.catalog.model import ProductSort
from tests.catalog.products import made, walk
from tests.make import Maker


async def settled(client: httpx.AsyncClient, count: int) -> None:
    """Wait for the upward list, which hides what an open transaction elsewhere might precede."""
    for _ in range(100):
        if len(await walk(client, "/products/stream", sort="oldest", limit=100)) == count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the list from the oldest on did not settle")


async def test_stream_is_not_taken_for_an_id(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/products/stream")
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})
    assert (await client.get("/api/v1/products/stream/")).status_code == 200


@pytest.mark.parametrize("sort", list(ProductSort))
async def test_a_walk_shows_each_product_once_in_order(
    client: httpx.AsyncClient, sort: ProductSort
) -> None:
    for number in range(9):
        await made(client, name=f"p{number % 3}", price=f"{number % 2 + 1}.00")
    await settled(client, 9)
    whole = (await client.get(f"/api/v1/products/stream?limit=100&sort={sort}")).json()["items"]
    assert await walk(client, "/products/stream", sort=sort, limit=2) == whole
    assert len({one["id"] for one in whole}) == 9


async def test_a_name_of_the_longest_kind_fits_into_a_cursor(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await made(client, name="🫖" * 200)
    found = await walk(client, "/products/stream", sort="name", limit=1, q="🫖" * 200)
    assert len(found) == 2


@pytest.mark.parametrize("sort", list(ProductSort))
@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_there_all_the_time_is_shown_once(
    client: httpx.AsyncClient, sort: ProductSort, seed: int
) -> None:
    chance = Random(seed)
    staying = [
        (await made(client, name=f"stays {n}", price=chance.randint(1, 9)))["id"] for n in range(30)
    ]
    going = [(await made(client, name=f"goes {n}"))["id"] for n in range(15)]
    await settled(client, 45)
    is_over = asyncio.Event()

    async def disturb() -> None:
        while not is_over.is_set():
            change = chance.choice(["make", "edit", "delete"])
            if change == "make":
                await made(client, name=f"comes {chance.random()}", price=chance.randint(1, 9))
            elif change == "edit":
                one = chance.choice(staying)
                await client.patch(f"/api/v1/products/{one}", json={"stock": chance.randint(1, 9)})
            elif going:
                await client.delete(f"/api/v1/products/{going.pop()}")

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(disturb())
        shown = [one["id"] for one in await walk(client, "/products/stream", sort=sort, limit=3)]
        is_over.set()
    assert len(shown) == len(set(shown))
    assert set(staying) <= set(shown)


@pytest.mark.parametrize("cursor", ["", "0", "-1", "abc", str(2**63), "x" * 4000])
async def test_a_cursor_that_is_not_ours_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/api/v1/products/stream", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.cursor"


async def test_a_cursor_works_only_for_its_own_list(client: httpx.AsyncClient, make: Maker) -> None:
    for _ in range(2):
        await made(client)
    cursor = (await client.get("/api/v1/products/stream?limit=1")).json()["next_cursor"]
    other = await client.get(
        "/api/v1/products/stream", params={"limit": 1, "cursor": cursor, "sort": "price"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "cursor-invalid")
    neighbour = {"Authorization": f"Bearer {await make.key()}"}
    foreign = await client.get(f"/api/v1/products/stream?cursor={cursor}", headers=neighbour)
    assert foreign.status_code == 422
