"""Following a link that this process knows, its click recorded, against a bare 302.

The ratio is of CPU time of the server process for each request: what a busy neighbour takes from
this machine does not count.
"""

import asyncio
from statistics import median

from bench.browsers import follows
from bench.house import Served, open_house
from bench.load import Load, drive
from bench.measure import Row, compare, say

CODES = 10_000
ROUNDS = 5
# Longer than the five seconds for which an entry is fresh, so that renewing all is in it.
SLOT_S = 6.0
LIMIT_SLOT_S = 3.0

# Requests a second, recorded, at 64 connections, measured elsewhere on two such cores: each
# product with the defaults of its own installation.
KUTT_PER_S = 315  # Kutt 3.2.3, Node 20, SQLite
YOURLS_PER_S = 703  # YOURLS 1.10.5-dev, nginx, php-fpm 8.2 with 8 workers, MariaDB 10.11


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house() as house:
        requests = follows(await house.add_links(CODES))

        async def slot(served: Served, seconds: float) -> Load:
            return await asyncio.to_thread(
                drive, served.pid, served.port, requests,
                status=302, seconds=seconds, warm_up=CODES,
            )  # fmt: skip

        ours = await house.serve()
        bare, route = await house.limit("redirect"), await house.limit("route")
        runs: list[tuple[Load, Load, Load]] = []
        for number in range(ROUNDS):
            one = (
                await slot(bare, LIMIT_SLOT_S),
                await slot(ours, SLOT_S),
                await slot(route, LIMIT_SLOT_S),
            )
            runs.append(one)
            told = ", ".join(f"{load.cpu_us:.1f} us {load.per_s:,.0f}/s" for load in one)
            say(f"redirect {number + 1} of {ROUNDS}: bare, ours, route: {told}")
    of_bare = [one[0].cpu_us for one in runs]
    own = [one[1].cpu_us for one in runs]
    of_route = [one[2].cpu_us for one in runs]
    per_s = median(one[1].per_s for one in runs)
    return [
        compare("redirect, of a bare ASGI 302", own, of_bare, unit="us CPU", at_least=0.75),
        compare("redirect, of a FastAPI route", own, of_route, unit="us CPU", at_least=3),
        Row(
            name="redirects recorded, of Kutt", value=per_s, limit=KUTT_PER_S,
            ratio=per_s / KUTT_PER_S, unit="/s", runs=ROUNDS, at_least=40,
        ),
        Row(
            name="redirects recorded, of YOURLS", value=per_s, limit=YOURLS_PER_S,
            ratio=per_s / YOURLS_PER_S, unit="/s", runs=ROUNDS, at_least=20,
        ),
    ]  # fmt: skip
