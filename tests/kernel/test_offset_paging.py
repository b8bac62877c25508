"""Paging by offset, for lists that a person pages: bounded, and counted only when asked."""

import httpx
import pytest

from posthouse.app import create_app
from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.pagination import CountedPage, OffsetDep
from posthouse.kernel.routing import Routes
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker

NUMBERS = list(range(45))


@pytest.fixture
async def paged(runtime: Runtime, make: Maker) -> httpx.AsyncClient:
    routes = Routes.of("numbers")

    @routes.get("/numbers", needs=Scope("links:read", Role.VIEWER), response_model=CountedPage[int])
    async def numbers(offset: OffsetDep) -> CountedPage[int]:
        items = NUMBERS[offset.skip : offset.skip + offset.limit]
        total = len(NUMBERS) if offset.with_total else None
        has_more = offset.skip + offset.limit < len(NUMBERS)
        return CountedPage(items=items, has_more=has_more, total=total)

    return client_of(create_app(runtime, further={"v2": [routes]}), await make.key())


async def test_pages_follow_each_other(paged: httpx.AsyncClient) -> None:
    first = (await paged.get("/api/v2/numbers")).json()
    last = (await paged.get("/api/v2/numbers?skip=40&limit=20&total=true")).json()
    assert first == {"items": NUMBERS[:20], "has_more": True, "total": None}
    assert last == {"items": NUMBERS[40:], "has_more": False, "total": 45}


@pytest.mark.parametrize("query", ["skip=-1", "skip=10001", "limit=0", "limit=101", "skip=x",
                                   "skip=9223372036854775808", "page=2"])  # fmt: skip
async def test_what_would_cost_too_much_is_refused(paged: httpx.AsyncClient, query: str) -> None:
    assert (await paged.get(f"/api/v2/numbers?{query}")).status_code == 422
