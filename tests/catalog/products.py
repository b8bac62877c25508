"""What the tests of the catalog begin with."""

import json
from typing import Any

import httpx

PRODUCT = {"name": "Kettle", "price": "29.99", "category": "kitchen"}


async def made(client: httpx.AsyncClient, **chosen: Any) -> dict[str, Any]:
    """A product, as the API shows it."""
    answer = await client.post("/api/v1/products", json={**PRODUCT, **chosen})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def send(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
    """Send JSON with lone surrogates and NaN as they are, which httpx would not."""
    headers = {"Content-Type": "application/json"}
    return await client.request(method, f"/api/v1{path}", content=json.dumps(body), headers=headers)


async def walk(client: httpx.AsyncClient, path: str, **params: Any) -> list[Any]:
    """All items of a list by cursor."""
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(f"/api/v1{path}", params={**params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
