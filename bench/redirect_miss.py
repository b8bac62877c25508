"""Following a link that this process does not know, against a bare read of it.

One row also says what a Valkey level between memory and Postgres could save: a bare GET against a
bare read by key.
"""

import asyncio

from redis import Redis

from bench.browsers import follows
from bench.house import Served, open_house
from bench.load import Load, drive
from bench.measure import Row, compare, say

CODES = 20_000
MEMORY = 100  # links that a process may remember: of 20,000 in turn none is still known
ROUNDS = 7
SLOT_S = 2.0
WARM_UP = 500


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house() as house:
        codes = await house.add_links(CODES)
        requests = follows(codes)
        await asyncio.to_thread(_fill, house.valkey_url, codes)

        async def slot(served: Served) -> Load:
            return await asyncio.to_thread(
                drive, served.pid, served.port, requests,
                status=302, seconds=SLOT_S, warm_up=WARM_UP,
            )  # fmt: skip

        ours = await house.serve(f"LINKS_CACHED_LINKS={MEMORY}")
        postgres, valkey = await house.limit("postgres-read"), await house.limit("valkey-get")
        runs: list[tuple[Load, Load, Load]] = []
        for number in range(ROUNDS):
            one = (await slot(postgres), await slot(ours), await slot(valkey))
            runs.append(one)
            told = ", ".join(f"{load.cpu_us:.0f} us" for load in one)
            say(f"redirect_miss {number + 1} of {ROUNDS}: Postgres, ours, Valkey: {told}")
    of_postgres = [one[0].cpu_us for one in runs]
    own = [one[1].cpu_us for one in runs]
    of_valkey = [one[2].cpu_us for one in runs]
    return [
        compare("miss, of a bare Postgres read", own, of_postgres, unit="us CPU", at_least=0.8),
        compare("bare Valkey GET, of a bare Postgres read", of_valkey, of_postgres, unit="us CPU"),
    ]


def _fill(valkey_url: str, codes: list[str]) -> None:
    client = Redis.from_url(valkey_url)
    pipeline = client.pipeline(transaction=False)
    for code in codes:
        pipeline.set(f"bench:{code}", "https://shop.example.com/products/1234?source=newsletter")
    pipeline.execute()
    client.close()
