"""Making a link over the API, against the same two inserts in a bare FastAPI route."""

import asyncio
import json

from bench.browsers import call
from bench.house import Served, open_house
from bench.load import Load, drive
from bench.measure import Row, compare, say

ROUNDS = 7
SLOT_S = 3.0
WARM_UP = 500
BODIES = 1_000

# The limits are checked as ever, but nobody is to meet them here.
_UNLIMITED = ("LINKS_SHORTEN_PER_S=1000000", "LINKS_SHORTEN_BURST=1000000")


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house() as house:
        bodies = [
            json.dumps({"url": f"https://shop.example.com/products/{n}?source=newsletter"}).encode()
            for n in range(BODIES)
        ]
        requests = [call("POST", "/api/v1/shorten", house.api_key, body) for body in bodies]

        async def slot(served: Served) -> Load:
            return await asyncio.to_thread(
                drive, served.pid, served.port, requests,
                status=201, seconds=SLOT_S, warm_up=WARM_UP,
            )  # fmt: skip

        ours, bare = await house.serve(*_UNLIMITED), await house.limit("create")
        runs: list[tuple[Load, Load]] = []
        for number in range(ROUNDS):
            one = (await slot(bare), await slot(ours))
            runs.append(one)
            told = ", ".join(f"{load.cpu_us:.0f} us {load.per_s:,.0f}/s" for load in one)
            say(f"create {number + 1} of {ROUNDS}: bare, ours: {told}")
    of_bare, own = [one[0].cpu_us for one in runs], [one[1].cpu_us for one in runs]
    return [
        compare("create a link, of a bare FastAPI route", own, of_bare, unit="us CPU", at_least=0.6)
    ]
