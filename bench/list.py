"""Page 40,000 of a list of a million links, against its first page."""

import json
import time
from uuid import UUID

import httpx

from bench.house import House, open_house
from bench.measure import Row, compare, say
from posthouse.kernel.signing import Signer

LINKS = 1_000_000
PAGE = 40_000
LIMIT = 20
ROUNDS = 200
WARM_UP = 50

_NTH = "SELECT id, tx::text AS tx FROM links WHERE workspace_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1"


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house(durable=False) as house:
        say(f"adding {LINKS:,} links …")
        await house.add_links(LINKS)
        served = await house.serve("RATE_PER_S=1000000", "RATE_BURST=1000000")
        headers = {"Authorization": f"Bearer {house.api_key}"}
        first, far = {"limit": LIMIT}, {"limit": LIMIT, "cursor": await _cursor(house)}
        took: dict[str, list[float]] = {"first": [], "far": []}
        url = f"http://127.0.0.1:{served.port}/api/v1/links"
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            for number in range(ROUNDS + WARM_UP):
                for name, params in (("first", first), ("far", far)):
                    began = time.perf_counter()
                    answer = await client.get(url, params=params)
                    if number >= WARM_UP:
                        took[name].append((time.perf_counter() - began) * 1000)
                    answer.raise_for_status()
                    assert len(answer.json()["items"]) == LIMIT
    return [
        compare(
            f"list, page {PAGE:,} of {LINKS:,} links", took["far"], took["first"],
            unit="ms", at_most=1.3,
        )
    ]  # fmt: skip


async def _cursor(house: House) -> str:
    """The cursor that the page before would give."""
    connection = await house.connect()
    try:
        row = await connection.fetchrow(_NTH, house.workspace_id, (PAGE - 1) * LIMIT - 1)
    finally:
        await connection.close()
    assert row is not None
    link_id: UUID = row["id"]
    name = f"{house.workspace_id}/api/v1/links[]"
    payload = json.dumps([name, row["tx"], str(link_id)], separators=(",", ":"))
    return Signer.for_purpose(house.environ["POSTHOUSE_SECRET"], "cursor").seal(payload.encode())
