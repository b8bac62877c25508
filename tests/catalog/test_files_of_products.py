"""Products come in from a stored file, and go out as a price list in PDF."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.catalog.products import made
from tests.files.sending import content_of, done, send
from tests.make import Maker

ROWS = b"name,price,category\nLamp,29.99,home\nChair,5.00,home\n"


async def ended(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            task = (await client.get(f"/api/v1/tasks/{task_id}")).json()
            if task["status"] not in {"pending", "running"}:
                return task
            await asyncio.sleep(0.05)


async def test_rows_of_a_stored_file_are_imported(client: httpx.AsyncClient) -> None:
    file_id = await send(client, ROWS, "rows.csv")
    answer = await client.post("/api/v1/products/import-file", json={"file": file_id})
    assert answer.status_code == 202, answer.text
    task = await ended(client, answer.json()["task_id"])
    assert (task["status"], task["result"]["imported"]) == ("completed", 2)
    names = [one["name"] for one in (await client.get("/api/v1/products")).json()["items"]]
    assert sorted(names) == ["Chair", "Lamp"]


async def test_a_dry_run_changes_nothing(client: httpx.AsyncClient) -> None:
    file_id = await send(client, ROWS, "rows.csv")
    body = {"file": file_id, "dry_run": True}
    answer = await client.post("/api/v1/products/import-file", json=body)
    task = await ended(client, answer.json()["task_id"])
    assert task["result"]["dry_run"] is True
    assert (await client.get("/api/v1/products")).json()["items"] == []


async def test_only_files_with_rows_can_be_imported(client: httpx.AsyncClient, make: Maker) -> None:
    text = await send(client, b"Dear reader,\n", "a.txt")
    for file_id in (text, "fil_01jd0000000000000000000000", await make.file(), "x"):
        answer = await client.post("/api/v1/products/import-file", json={"file": file_id})
        assert (answer.status_code, answer.json()["code"]) == (422, "rows-invalid")


async def test_the_price_list_is_a_pdf_of_all_products(client: httpx.AsyncClient) -> None:
    for name, price in (("Wörterbuch", "12.50"), ("Atlas", "99.00")):
        await made(client, name=name, price=price, category="books")
    await made(client, name="Kettle", category="kitchen")
    body = {"kind": "catalog.price-list", "input": {"title": "Books", "category": "books"}}
    answer = await client.post("/api/v1/tasks", json=body)
    task = await ended(client, answer.json()["task_id"])
    assert task["status"] == "completed", task
    shown = await done(client, task["result"]["file"])
    assert shown["status"] == "completed", shown
    (result,) = shown["results"]
    assert result["media_type"] == "application/pdf"
    text = text_of(await content_of(client, result["url"]))
    assert "Books" in text
    assert text.index("Atlas") < text.index("Wörterbuch")
    assert "12.50" in text
    assert "Kettle" not in text


def text_of(pdf: bytes) -> str:
    import pypdfium2  # pyright: ignore[reportMissingTypeStubs]

    document = pypdfium2.PdfDocument(pdf)
    return "".join(page.get_textpage().get_text_bounded() for page in document)


async def test_without_products_there_is_no_price_list(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/tasks", json={"kind": "catalog.price-list"})
    task = await ended(client, answer.json()["task_id"])
    assert (task["status"], task["error"]["code"]) == ("failed", "product-not-found")


@pytest.mark.parametrize("wanted", [{"category": ""}, {"currency": "XXX"}, {"title": 5}])
async def test_a_bad_price_list_is_refused(client: httpx.AsyncClient, wanted: Any) -> None:
    body = {"kind": "catalog.price-list", "input": wanted}
    answer = await client.post("/api/v1/tasks", json=body)
    assert answer.status_code == 422
