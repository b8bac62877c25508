"""A product shows an image out of the stored files, and a thumbnail that is made of it."""

import asyncio
import io

import httpx
import pytest
from PIL import Image

from tests.catalog.products import made
from tests.files.sending import CSV, content_of, send
from tests.make import Maker


def photo(colour: str = "red") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (800, 400), colour).save(held, "JPEG")
    return held.getvalue()


async def with_thumbnail(client: httpx.AsyncClient, product_id: int) -> dict[str, str]:
    async with asyncio.timeout(20):
        while True:
            shown = (await client.get(f"/api/v1/products/{product_id}")).json()
            if shown["image"]["thumbnail_url"]:
                return shown["image"]
            await asyncio.sleep(0.05)


async def test_an_image_is_shown_with_its_thumbnail(client: httpx.AsyncClient) -> None:
    product = await made(client)
    assert product["image"] is None
    file_id = await send(client, photo(), "kettle.jpg")
    answer = await client.put(f"/api/v1/products/{product['id']}/image", json={"file": file_id})
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == product["version"] + 1
    assert answer.headers["etag"] != f'"v{product["version"]}"'
    image = await with_thumbnail(client, product["id"])
    assert image["file"] == file_id
    assert await content_of(client, image["url"]) == photo()
    thumbnail = Image.open(io.BytesIO(await content_of(client, image["thumbnail_url"])))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 160))
    for path in ("/products", "/products/stream"):
        (listed,) = (await client.get(f"/api/v1{path}")).json()["items"]
        assert listed["image"]["file"] == file_id


async def test_an_older_image_makes_room_and_so_does_none(client: httpx.AsyncClient) -> None:
    product = await made(client)
    path = f"/api/v1/products/{product['id']}/image"
    first, second = [await send(client, photo(one), f"{one}.jpg") for one in ("red", "blue")]
    await client.put(path, json={"file": first})
    await client.put(path, json={"file": second})
    assert (await with_thumbnail(client, product["id"]))["file"] == second
    files = (await client.get("/api/v1/files")).json()["items"]
    assert len([one for one in files if one["recipe"]]) == 1
    answer = await client.delete(path)
    assert (answer.status_code, answer.json()["image"]) == (200, None)
    files = (await client.get("/api/v1/files")).json()["items"]
    assert sorted(one["id"] for one in files) == sorted([first, second])


@pytest.mark.parametrize("file", ["fil_01jd0000000000000000000000", "nothing", "tsk_x", ""])
async def test_a_file_that_is_not_there_is_no_image(client: httpx.AsyncClient, file: str) -> None:
    product = await made(client)
    answer = await client.put(f"/api/v1/products/{product['id']}/image", json={"file": file})
    assert (answer.status_code, answer.json()["code"]) == (422, "image-invalid")
    assert answer.json()["errors"][0]["field"] == "body.file"


async def test_neither_a_table_nor_a_foreign_file_is_an_image(
    client: httpx.AsyncClient, make: Maker
) -> None:
    product = await made(client)
    for file_id in (await send(client, CSV), await make.file(content=photo(), name="a.jpg")):
        answer = await client.put(f"/api/v1/products/{product['id']}/image", json={"file": file_id})
        assert (answer.status_code, answer.json()["code"]) == (422, "image-invalid")
    shown = (await client.get(f"/api/v1/products/{product['id']}")).json()
    assert (shown["image"], shown["version"]) == (None, product["version"])


async def test_an_image_is_given_to_the_version_that_was_read(client: httpx.AsyncClient) -> None:
    product = await made(client)
    file_id = await send(client, photo(), "kettle.jpg")
    answer = await client.put(
        f"/api/v1/products/{product['id']}/image",
        json={"file": file_id},
        headers={"If-Match": '"v9"'},
    )
    assert answer.status_code == 412


async def test_a_repeated_post_shows_the_image_too(client: httpx.AsyncClient) -> None:
    product = await made(client)
    file_id = await send(client, photo(), "kettle.jpg")
    await client.put(f"/api/v1/products/{product['id']}/image", json={"file": file_id})
    await client.delete(f"/api/v1/products/{product['id']}")
    answers = [
        await client.post(
            f"/api/v1/products/{product['id']}/restore", headers={"Idempotency-Key": "again"}
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].content == answers[0].content
    assert answers[0].json()["image"]["file"] == file_id
