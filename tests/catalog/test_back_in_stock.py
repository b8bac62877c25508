"""Who asked hears once when a product can be bought again."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.notifications.conftest import Sending, sending
from tests.notifications.mailserver import MailServer, mail_server

__all__ = ["sending"]


@pytest.fixture
async def mail() -> AsyncGenerator[MailServer]:
    async with mail_server() as server:
        yield server


async def product(client: httpx.AsyncClient, **chosen: Any) -> str:
    body = {"name": "Kettle", "price": "29.99", "category": "kitchen", "stock": 0, **chosen}
    made = await client.post("/api/v1/products", json=body)
    assert made.status_code == 201, made.text
    return f"/api/v1/products/{made.json()['id']}"


async def until(mail: MailServer, count: int) -> None:
    async with asyncio.timeout(10):
        while len(mail.mails) < count:
            await asyncio.sleep(0.05)


async def test_those_who_asked_hear_once(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    client = sending.client
    place = await product(client)
    await client.put("/api/v1/recipients/ann", json={"email": "ann@example.com"})
    for asked in ({"recipient": "ann"}, {"email": "bob@example.com"}, {"recipient": "ann"}):
        answer = await client.post(f"{place}/waits", json=asked)
        assert answer.status_code == 201, answer.text
    waits = (await client.get(f"{place}/waits")).json()["items"]
    assert [one["email"] for one in waits] == [None, "b…@example.com"]
    await client.patch(place, json={"price": "19.99"})
    await asyncio.sleep(1)
    assert mail.mails == []
    await client.patch(place, json={"stock": 3})
    await until(mail, 2)
    assert {one.recipient for one in mail.mails} == {"ann@example.com", "bob@example.com"}
    assert mail.mails[0].message["Subject"] == "Kettle is back"
    assert (await client.get(f"{place}/waits")).json()["items"] == []
    await client.patch(place, json={"stock": 0})
    await client.patch(place, json={"stock": 5})
    await asyncio.sleep(1)
    assert len(mail.mails) == 2


async def test_a_template_of_ones_own_is_used(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail)
    email = {"subject": "Hurry: {{ product.name }}", "text": "Only {{ product.price }}!"}
    answer = await sending.client.put(
        "/api/v1/templates/back-in-stock",
        json={"name": "Back", "locales": {"en": {"email": email}}},
    )
    assert answer.status_code in {200, 201}, answer.text
    await sending.client.post("/api/v1/templates/back-in-stock/publish")
    place = await product(sending.client)
    await sending.client.post(f"{place}/waits", json={"email": "bob@example.com"})
    await sending.client.patch(place, json={"stock": 1})
    await until(mail, 1)
    assert mail.mails[0].message["Subject"] == "Hurry: Kettle"


async def test_without_a_provider_they_go_on_waiting(sending: Sending, mail: MailServer) -> None:
    place = await product(sending.client)
    await sending.client.post(f"{place}/waits", json={"email": "bob@example.com"})
    await sending.client.patch(place, json={"stock": 1})
    await asyncio.sleep(1)
    assert len((await sending.client.get(f"{place}/waits")).json()["items"]) == 1
    await sending.provider(mail)
    await sending.client.patch(place, json={"stock": 2})
    await until(mail, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"recipient": "nobody"}, "body.recipient"),
        ({"email": "nothing"}, "body.email"),
        ({}, "body"),
        ({"recipient": "a", "email": "a@example.com"}, "body"),
    ],
)
async def test_who_cannot_wait_is_named(sending: Sending, body: dict[str, str], field: str) -> None:
    place = await product(sending.client)
    answer = await sending.client.post(f"{place}/waits", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
