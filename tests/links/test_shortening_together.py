"""Links that are asked for at the same time are made in one transaction, each by itself."""

import asyncio
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.links import codes
from posthouse.links.errors import TargetRefusedError
from posthouse.links.model import Link, LinkId, NewLink, PlainLink
from posthouse.links.service import Links
from posthouse.links.shortening import Shortening
from posthouse.links.store import links as store
from posthouse.runtime import Runtime
from tests.make import Maker

HOST = "127.0.0.1"


@pytest.fixture
def links(runtime: Runtime) -> Links:
    found = runtime.services[Links]
    assert isinstance(found, Links)
    return found


async def transaction_of(links: Links, link_id: LinkId) -> str:
    async with links.db.read() as connection:
        return await connection.fetchval("SELECT tx::text FROM links WHERE id = $1", link_id)


async def test_many_at_once_share_a_transaction_and_keep_their_targets(
    links: Links, make: Maker
) -> None:
    caller = await make.principal()
    urls = [f"https://example.com/together/{number}" for number in range(20)]
    shortening = Shortening(links)
    made = await asyncio.gather(*(shortening.shorten(caller, url, host=HOST) for url in urls))
    assert [link.url for link in made] == urls
    assert len({link.code for link in made}) == len(made)
    assert len({await transaction_of(links, link.id) for link in made}) == 1


async def test_a_taken_code_is_left_out(links: Links, make: Maker) -> None:
    caller = await make.principal()
    taken = await links.make(caller, NewLink("https://example.com/first"), host=HOST)
    wanted = [
        PlainLink(
            LinkId(ids.fresh()), caller.workspace_id, taken.domain_id, code, taken.url, caller.actor
        )
        for code in (taken.code, codes.fresh())
    ]
    async with links.db.begin() as tx:
        made = await store.insert_plain(tx, wanted)
    assert set(made) == {wanted[1].id}
    assert made[wanted[1].id].code == wanted[1].code


async def test_one_that_cannot_be_made_does_not_spoil_the_others(links: Links, make: Maker) -> None:
    caller = await make.principal()
    nobody = replace(caller, workspace_id=UUID(int=1))
    shortening = Shortening(links)
    lost, refused, well = await asyncio.gather(
        shortening.shorten(nobody, "https://example.com/lost", host=HOST),
        shortening.shorten(caller, "ftp://example.com/", host=HOST),
        shortening.shorten(caller, "https://example.com/well", host=HOST),
        return_exceptions=True,
    )
    assert isinstance(lost, Exception)
    assert isinstance(refused, TargetRefusedError)
    assert isinstance(well, Link)


async def test_with_an_idempotency_key_the_link_is_made_with_the_key(
    client: httpx.AsyncClient, make: Maker
) -> None:
    headers = {"Authorization": f"Bearer {await make.key()}", "Idempotency-Key": "only-once"}
    body = {"url": "https://example.com/once"}
    first = await client.post("/api/v1/shorten", json=body, headers=headers)
    again = await client.post("/api/v1/shorten", json=body, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
