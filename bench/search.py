"""The search of a million products over HTTP, against its bare statement by asyncpg."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from bench.house import House, open_house
from bench.measure import Row, compare, say
from posthouse.catalog import store
from posthouse.kernel import search

if TYPE_CHECKING:
    import asyncpg

PRODUCTS = 1_000_000
LIMIT = 20
ROUNDS = 40
WARM_UP = 5

_PRODUCTS = """
INSERT INTO products (workspace_id, name, price, currency, category)
SELECT $1,
  (CASE WHEN n % 5 < 2 THEN 'Steel' WHEN n % 5 < 4 THEN 'Wooden' ELSE 'Ceramic' END) || ' '
  || (ARRAY['keyboard', 'kettle', 'lamp', 'chair', 'table', 'monitor', 'speaker', 'bottle',
            'backpack', 'umbrella', 'notebook', 'charger', 'blender', 'toaster', 'scissors',
            'hammer', 'bicycle', 'helmet', 'mirror', 'curtain'])[1 + (n / 5) % 20] || ' '
  || substr(md5((n % 20000)::text), 1, 7) || ' '
  || (CASE WHEN n % 100000 = 0 THEN 'zirconium ' ELSE '' END) || n,
  1 + n % 1000, 'EUR', 'home'
FROM generate_series(1, $2::int) n
"""


@dataclass(frozen=True, slots=True)
class Word:
    """A word to look for, and how many products have it."""

    what: str
    text: str
    is_misspelt: bool = False


WORDS = (
    Word("common (400,000 hits)", "steel"),
    Word("middling (50,000 hits)", "kettle"),
    Word("rare (10 hits)", "zirconium"),
    Word("misspelt (50,000 like it)", "keybaord", is_misspelt=True),
)


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house(durable=False) as house:
        say(f"adding {PRODUCTS:,} products …")
        connection = await house.connect()
        try:
            await connection.execute(_PRODUCTS, house.workspace_id, PRODUCTS)
            await connection.execute("VACUUM ANALYZE products")
            served = await house.serve(
                "RATE_PER_S=1000000", "RATE_BURST=1000000", "LOG_LEVEL=error"
            )
            headers = {"Authorization": f"Bearer {house.api_key}"}
            url = f"http://127.0.0.1:{served.port}/api/v1/search"
            async with httpx.AsyncClient(headers=headers, timeout=30) as client:
                return [await _row(house, connection, client, url, word) for word in WORDS]
        finally:
            await connection.close()


async def _row(
    house: House,
    connection: "asyncpg.Connection[asyncpg.Record]",
    client: httpx.AsyncClient,
    url: str,
    word: Word,
) -> Row:
    """Take turns of both; the median of the whole request, and of the statement alone."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS + WARM_UP):
        began = time.perf_counter()
        answer = await client.get(url, params={"q": word.text, "limit": LIMIT})
        between = time.perf_counter()
        answer.raise_for_status()
        assert answer.json()["items"]
        began_bare = time.perf_counter()
        await _search(connection, house, word)
        ended_bare = time.perf_counter()
        if number >= WARM_UP:
            ours.append((between - began) * 1000)
            bare.append((ended_bare - began_bare) * 1000)
    return compare(f"search, {word.what}", ours, bare, unit="ms")


async def _search(
    connection: "asyncpg.Connection[asyncpg.Record]", house: House, word: Word
) -> None:
    place = (house.workspace_id, word.text, None, None, LIMIT + 1)
    async with connection.transaction():
        await connection.execute(search._PLAN)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if word.is_misspelt:
            await connection.fetch(store._BY_LIKENESS, *place)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        else:
            await connection.fetch(store._BY_WORDS, *place, *search.patterns(word.text))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
