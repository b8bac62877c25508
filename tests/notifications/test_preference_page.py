"""The page where people choose what they get, as a browser without JavaScript uses it."""

import re
from html.parser import HTMLParser
from typing import cast
from urllib.parse import urlsplit

import httpx
import pytest

from posthouse.kernel.auth import Principal
from posthouse.notifications.consenting import Consents
from posthouse.notifications.consentlinks import ConsentLinks
from posthouse.notifications.contacts import Recipient
from posthouse.notifications.model import Channel, RecipientId
from tests.make import Maker
from tests.notifications.making import category, recipient


class Form(HTMLParser):
    """What a browser would send if somebody pressed the button."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.boxes: dict[str, bool] = {}
        self.fixed: set[str] = set()
        self.labelled = 0
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.labelled += tag == "label"
        if tag != "input":
            return
        name = given["name"] or ""
        if "disabled" in given:
            self.fixed.add(name)
        elif given.get("type") == "checkbox":
            self.boxes[name] = "checked" in given
            if "checked" in given:
                self.fields[name] = given["value"] or ""
        else:
            self.fields[name] = given.get("value") or ""


async def opened(make: Maker) -> tuple[Principal, Recipient, str]:
    owner = await make.principal()
    person = await recipient(make, owner)
    links = cast("ConsentLinks", make.service(ConsentLinks))
    return owner, person, urlsplit(links.preferences_url(owner.workspace_id, person.id)).path


async def test_the_page_shows_each_category_and_channel(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    owner, _, path = await opened(make)
    await category(make, owner, "news")
    await category(make, owner, "security", is_critical=True)
    page = await stranger.get(path)
    assert page.status_code == 200
    form = Form(page.text)
    wanted = {f"on:{key}:{channel}" for key in ("general", "news") for channel in Channel}
    assert form.boxes == dict.fromkeys(wanted, True) | {"stopped": False}
    assert form.fixed == {f"on:security:{channel}" for channel in Channel}
    assert form.labelled == len(form.boxes) + len(form.fixed) + 2


async def test_what_is_unticked_is_off_and_stays_so(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    owner, person, path = await opened(make)
    await category(make, owner, "news")
    await category(make, owner, "security", is_critical=True)
    form = Form((await stranger.get(path)).text).fields
    form.pop("on:news:email")
    form |= {"stopped": "on", "quiet_from": "22:00", "quiet_until": "07:00"}
    saved = await stranger.post(path, data=form)
    assert saved.status_code == 200
    assert "Saved." in saved.text
    for page in (saved, await stranger.get(path)):
        shown = Form(page.text)
        assert shown.boxes["on:news:email"] is False
        assert shown.boxes["on:news:sms"] is True
        assert shown.boxes["stopped"] is True
        assert (shown.fields["quiet_from"], shown.fields["quiet_until"]) == ("22:00", "07:00")
    consents = cast("Consents", make.service(Consents))
    found, chosen, _ = await consents.preferences(owner.workspace_id, person.id)
    assert found.is_stopped
    assert not chosen.allows("news", Channel.EMAIL)
    assert chosen.allows("news", Channel.SMS)
    assert ("security", "email") not in chosen.choices


@pytest.mark.parametrize(
    ("start", "end"), [("22:00", ""), ("", "07:00"), ("x", "y"), ("25:00", "07:00"), ("1", "2"),
    ("22:00", "22:00"), ("<b>", '"'), ("22:00:00", "07:00:00")]
)  # fmt: skip
async def test_quiet_hours_that_are_none_are_said_and_nothing_is_saved(
    stranger: httpx.AsyncClient, make: Maker, start: str, end: str
) -> None:
    _, _, path = await opened(make)
    form = Form((await stranger.get(path)).text).fields
    form.pop("on:general:sms")
    answer = await stranger.post(path, data={**form, "quiet_from": start, "quiet_until": end})
    assert answer.status_code == 422
    shown = Form(answer.text)
    assert 'role="alert"' in answer.text
    assert shown.boxes["on:general:sms"] is False
    assert (shown.fields["quiet_from"], shown.fields["quiet_until"]) == (start, end)
    assert Form((await stranger.get(path)).text).boxes["on:general:sms"] is True


async def test_a_category_that_was_made_meanwhile_stays_on(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    owner, _, path = await opened(make)
    form = Form((await stranger.get(path)).text).fields
    await category(make, owner, "news")
    assert (await stranger.post(path, data=form)).status_code == 200
    assert Form((await stranger.get(path)).text).boxes["on:news:email"] is True


async def test_what_is_not_the_form_of_the_page_saves_nothing(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    _, _, path = await opened(make)
    await stranger.post(path, data={"stopped": "on", "quiet_from": "22:00", "quiet_until": "07:00"})
    before = (await stranger.get(path)).text
    for body in (b"", b"stopped=on", b"List-Unsubscribe=One-Click"):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await stranger.post(path, content=body, headers=headers)
        assert answer.status_code == 422
    assert (await stranger.get(path)).text == before


async def test_looking_changes_nothing(stranger: httpx.AsyncClient, make: Maker) -> None:
    _, person, path = await opened(make)
    for method in ("GET", "HEAD"):
        await stranger.request(method, path)
    consents = cast("Consents", make.service(Consents))
    found, _, _ = await consents.preferences(person.workspace_id, person.id)
    assert (found.version, found.consent) == (person.version, person.consent)


async def test_the_page_is_closed_to_others(stranger: httpx.AsyncClient, make: Maker) -> None:
    owner, _, path = await opened(make)
    await category(make, owner, "news", is_critical=False)
    page = await stranger.get(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-robots-tag"] == "noindex"
    assert "set-cookie" not in page.headers
    assert not re.search(r"(?:src|href)=", page.text)
    assert "<script" not in page.text
    assert 'lang="en"' in page.text
    assert "width=device-width" in page.text
    assert "prefers-color-scheme:dark" in page.text


async def test_a_name_cannot_break_the_page(stranger: httpx.AsyncClient, make: Maker) -> None:
    owner, _, path = await opened(make)
    consents = cast("Consents", make.service(Consents))
    from posthouse.notifications.choices import Category

    await consents.put_category(owner, Category("x", "<script>alert(1)</script>"))
    assert "<script" not in (await stranger.get(path)).text


async def test_who_is_gone_has_no_page(stranger: httpx.AsyncClient, make: Maker) -> None:
    links = cast("ConsentLinks", make.service(ConsentLinks))
    from posthouse.kernel import ids

    url = links.preferences_url(await make.workspace(), RecipientId(ids.fresh()))
    answer = await stranger.get(urlsplit(url).path)
    assert answer.status_code == 404
    assert "There is no such recipient" in answer.text
