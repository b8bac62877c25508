"""Unsubscribing with one click (RFC 8058): forged, prefetched, repeated and in earnest."""

import asyncio
import base64
from contextvars import Context
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.kernel import ids
from posthouse.kernel.errors import NotFoundError
from posthouse.kernel.signing import Signer
from posthouse.notifications.consentlinks import Consent, ConsentLinks, Purpose
from posthouse.notifications.model import RECIPIENT, Channel, RecipientId
from posthouse.runtime import Runtime
from tests.make import Maker
from tests.notifications.making import category, recipient
from tests.notifications.underway import answered_only_after, sending

LINKS = ConsentLinks(Signer.for_purpose("s" * 32, "consent"), "https://box.example/")
SHARED_LOCK = """
SELECT pg_advisory_xact_lock_shared(hashtextextended('consent of notifications', 0))
"""
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def links_of(make: Maker) -> ConsentLinks:
    return cast("ConsentLinks", make.service(ConsentLinks))


async def choices(runtime: Runtime, recipient_id: UUID) -> dict[tuple[str, str], bool]:
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch(
            "SELECT category, channel, is_on FROM preferences WHERE recipient_id = $1", recipient_id
        )
    return {(row["category"], row["channel"]): row["is_on"] for row in rows}


async def suppressed(runtime: Runtime, workspace_id: UUID) -> list[tuple[str, str, str, str]]:
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch(
            "SELECT channel, address, category, reason FROM suppressions WHERE workspace_id = $1",
            workspace_id,
        )
    return [tuple(row) for row in rows]


@settings(deadline=None)
@given(
    st.sampled_from(Channel), st.text(max_size=20), st.none() | st.uuids(), st.none() | st.emails()
)
def test_an_address_says_what_was_put_into_it(
    channel: Channel, key: str, person: UUID | None, address: str | None
) -> None:
    workspace = ids.fresh()
    recipient_id = None if person is None else RecipientId(person)
    url = LINKS.unsubscribe_url(workspace, channel, key, recipient_id=recipient_id, address=address)
    path, _, token = url.rpartition("/")
    assert path == "https://box.example/-/unsubscribe"
    found = LINKS.read(Purpose.UNSUBSCRIBE, token)
    assert found == Consent(workspace, channel, key, recipient_id, address)
    with pytest.raises(NotFoundError):
        LINKS.read(Purpose.PREFERENCES, token)


def test_every_flipped_bit_is_nothing() -> None:
    person = RecipientId(ids.fresh())
    url = LINKS.unsubscribe_url(ids.fresh(), Channel.EMAIL, "news", recipient_id=person)
    token = url.rpartition("/")[2]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        forged = base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        with pytest.raises(NotFoundError):
            LINKS.read(Purpose.UNSUBSCRIBE, forged)
    for forged in (token + "=", token[:-1], token.upper(), "", "x", "ä", token + "A"):
        with pytest.raises(NotFoundError):
            LINKS.read(Purpose.UNSUBSCRIBE, forged)


async def test_looking_changes_nothing(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime
) -> None:
    owner = await make.principal()
    await category(make, owner, "news")
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "news", recipient_id=person.id
    )
    path = urlsplit(url).path
    for method in ("GET", "HEAD", "GET"):
        page = await stranger.request(method, path, headers={"purpose": "prefetch"})
        assert page.status_code == 200
    assert "News" in page.text
    assert (await stranger.post(path)).status_code == 422
    assert (await stranger.post(path, data={"List-Unsubscribe": "Maybe"})).status_code == 422
    assert (await stranger.put(path)).status_code == 405
    assert await choices(runtime, person.id) == {}


@pytest.mark.parametrize("is_multipart", [False, True])
async def test_one_click_switches_one_category_off(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime, *, is_multipart: bool
) -> None:
    owner = await make.principal()
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "news", recipient_id=person.id
    )
    for _ in range(2):
        if is_multipart:
            files = {"List-Unsubscribe": (None, "One-Click")}
            answer = await stranger.post(urlsplit(url).path, files=files)
        else:
            answer = await stranger.post(urlsplit(url).path, data=ONE_CLICK)
        assert answer.status_code == 200, answer.text
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers
    assert await choices(runtime, person.id) == {("news", "email"): False}


async def test_what_is_critical_says_that_it_always_comes(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    owner = await make.principal()
    await category(make, owner, "security", is_critical=True)
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "security", recipient_id=person.id
    )
    for method in ("GET", "POST"):
        answer = await stranger.request(method, urlsplit(url).path, data=ONE_CLICK)
        assert answer.status_code == 200
        assert "These always come" in answer.text


async def test_a_bare_address_is_suppressed_for_the_category(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime
) -> None:
    owner = await make.workspace()
    url = links_of(make).unsubscribe_url(owner, Channel.EMAIL, "news", address="Ann@Example.com")
    assert (await stranger.post(urlsplit(url).path, data=ONE_CLICK)).status_code == 200
    assert await suppressed(runtime, owner) == [
        ("email", "ann@example.com", "news", "unsubscribed"),
    ]


async def test_the_answer_waits_for_what_is_under_way(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime
) -> None:
    owner = await make.principal()
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "news", recipient_id=person.id
    )
    under_way = await sending(runtime, owner.workspace_id, recipient_id=person.id)
    await sending(runtime, owner.workspace_id, recipient_id=person.id, channel="sms")

    async def call() -> httpx.Response:
        return await stranger.post(urlsplit(url).path, data=ONE_CLICK)

    async def is_written() -> bool:
        return bool(await choices(runtime, person.id))

    answer = await answered_only_after(runtime, under_way, call, is_written)
    assert answer.status_code == 200


async def test_the_answer_waits_for_those_who_are_deciding_to_send(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime
) -> None:
    """A worker that compares holds a shared lock; the answer comes after its decision ended."""
    owner = await make.principal()
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "news", recipient_id=person.id
    )

    async with asyncio.TaskGroup() as group, runtime.parts.db.begin() as tx:
        await tx.execute(SHARED_LOCK)
        # In a context of its own: the transaction of this test is not the caller's.
        calling = group.create_task(
            stranger.post(urlsplit(url).path, data=ONE_CLICK), context=Context()
        )
        while not await choices(runtime, person.id):
            await asyncio.sleep(0.005)
        for _ in range(5):
            await asyncio.sleep(0.02)
            assert not calling.done()
    assert calling.result().status_code == 200


async def test_somebody_who_is_gone_can_unsubscribe(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    url = links_of(make).unsubscribe_url(
        await make.workspace(), Channel.SMS, "gone", recipient_id=RecipientId(ids.fresh())
    )
    assert (await stranger.post(urlsplit(url).path, data=ONE_CLICK)).status_code == 200


async def test_a_forged_address_is_a_page_that_says_so(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    url = links_of(make).preferences_url(await make.workspace(), RecipientId(ids.fresh()))
    token = url.rpartition("/")[2]
    for path in ("/-/unsubscribe/x", f"/-/unsubscribe/{token}", "/-/preferences/x"):
        for method in ("GET", "POST"):
            answer = await stranger.request(method, path, data=ONE_CLICK)
            assert answer.status_code == 404
            assert answer.headers["content-type"].startswith("text/html")
    told = await stranger.get("/-/unsubscribe/x", headers={"accept": "application/json"})
    assert told.json()["code"] == "not-found"


@pytest.mark.parametrize(("media_type", "body"), [
    ("application/x-www-form-urlencoded", b"\xff\xfe"), ("application/x-www-form-urlencoded", b"a=1&" * 6000),  # noqa: E501
    ("multipart/form-data", b"x"), ("multipart/form-data; boundary=x", b"--x\r\n\r\n"), ("text/plain", b""),  # noqa: E501
    ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
])  # fmt: skip
async def test_a_form_that_is_none_does_nothing(
    stranger: httpx.AsyncClient, make: Maker, runtime: Runtime, media_type: str, body: bytes
) -> None:
    owner = await make.principal()
    person = await recipient(make, owner)
    url = links_of(make).unsubscribe_url(
        owner.workspace_id, Channel.EMAIL, "news", recipient_id=person.id
    )
    headers = {"content-type": media_type}
    answer = await stranger.post(urlsplit(url).path, content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert await choices(runtime, person.id) == {}
    assert RECIPIENT.show(person.id) not in answer.text
