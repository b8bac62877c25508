"""The pages for those who get messages, in a real browser: by mouse, keyboard and telephone."""

from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, expect

from posthouse.kernel.auth import Principal
from posthouse.notifications.choices import Category, Preferences
from posthouse.notifications.consenting import Consents
from posthouse.notifications.consentlinks import ConsentLinks
from posthouse.notifications.contacts import Recipient
from posthouse.notifications.model import Channel
from tests.e2e.pages.visiting import Visit
from tests.make import Maker
from tests.notifications.making import category, recipient

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabonnements"
AA = 4.5


class Ann:
    """Somebody with a page of her own."""

    def __init__(self, make: Maker, owner: Principal, person: Recipient) -> None:
        self.links = cast("ConsentLinks", make.service(ConsentLinks))
        self.consents = cast("Consents", make.service(Consents))
        self.owner, self.person = owner, person

    @property
    def page(self) -> str:
        return urlsplit(self.links.preferences_url(self.owner.workspace_id, self.person.id)).path

    def leaving(self, key: str) -> str:
        url = self.links.unsubscribe_url(
            self.owner.workspace_id, Channel.EMAIL, key, recipient_id=self.person.id
        )
        return urlsplit(url).path

    async def chosen(self) -> Preferences:
        _, chosen, _ = await self.consents.preferences(self.owner.workspace_id, self.person.id)
        return chosen


@pytest.fixture
async def ann(make: Maker) -> Ann:
    owner = await make.principal()
    person = await recipient(make, owner)
    await category(make, owner, "news")
    await category(make, owner, "security", is_critical=True)
    return Ann(make, owner, person)


def box(at: Visit, row: str, channel: str) -> Locator:
    return at.page.get_by_role("group", name=row).get_by_role("checkbox", name=channel)


async def test_a_switch_is_found_by_its_label_and_saving_is_said(at: Visit, ann: Ann) -> None:
    await at.open(ann.page)
    await at.picture("preferences")
    await expect(box(at, "News", "Email")).to_be_checked()
    await at.page.get_by_role("group", name="News").get_by_text("Email").click()
    await at.page.get_by_role("button", name="Save").click()
    await expect(at.page.get_by_role("status")).to_contain_text("Saved")
    await at.picture("saved")
    await expect(box(at, "News", "Email")).not_to_be_checked()
    chosen = await ann.chosen()
    assert not chosen.allows("news", Channel.EMAIL)
    assert chosen.allows("news", Channel.SMS)


async def test_the_keyboard_alone_is_enough(at: Visit, ann: Ann) -> None:
    await at.open(ann.page)
    await at.tab_to("on:news:push")
    outline = await at.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    await at.page.keyboard.press("Space")
    await at.tab_to("BUTTON")
    await at.picture("focus")
    await at.page.keyboard.press("Enter")
    await expect(at.page.get_by_role("status")).to_be_visible()
    assert not (await ann.chosen()).allows("news", Channel.PUSH)


async def test_what_is_critical_cannot_be_switched(at: Visit, ann: Ann) -> None:
    await at.open(ann.page)
    for name in ("Email", "Text message", "Push"):
        await expect(box(at, "Security", name)).to_be_checked()
        await expect(box(at, "Security", name)).to_be_disabled()


async def test_all_can_be_stopped_at_once(at: Visit, ann: Ann) -> None:
    await at.open(ann.page)
    stop = at.page.get_by_role("checkbox", name="Stop all messages")
    await stop.check()
    await at.page.get_by_role("button", name="Save").click()
    await expect(at.page.get_by_role("status")).to_be_visible()
    await at.open(ann.page)
    await expect(stop).to_be_checked()
    assert (await ann.chosen()).is_stopped


async def test_quiet_hours_are_chosen_and_half_of_them_is_refused(at: Visit, ann: Ann) -> None:
    await at.open(ann.page)
    begin, end = at.page.get_by_label("From"), at.page.get_by_label("until", exact=True)
    await begin.fill("22:00")
    await at.page.get_by_role("button", name="Save").click()
    await expect(at.page.get_by_role("alert")).to_contain_text("Nothing was saved")
    await expect(begin).to_have_value("22:00")
    await at.picture("refused")
    assert (await at.faintest())[0] >= AA
    at.said.clear()  # Chromium tells of each answer that is 422
    await end.fill("07:00")
    await at.page.get_by_role("button", name="Save").click()
    await expect(at.page.get_by_role("status")).to_be_visible()
    quiet = (await ann.chosen()).quiet_hours
    assert quiet is not None
    assert (quiet.start.hour, quiet.end.hour) == (22, 7)


@pytest.mark.parametrize("page", ["preferences", "leaving", "left", "unknown"])
async def test_a_narrow_telephone_at_night_shows_it_all(
    at_night: Visit, ann: Ann, page: str
) -> None:
    await ann.consents.put_category(ann.owner, Category("long", LONG))
    path = {"preferences": ann.page, "unknown": ann.page + "A"}.get(page, ann.leaving("long"))
    await at_night.open(path)
    if page == "left":
        await at_night.page.get_by_role("button", name="Unsubscribe").click()
    await at_night.picture(page)
    assert not await at_night.is_wide()
    contrast, text = await at_night.faintest()
    assert contrast >= AA, text
    back = await at_night.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == "rgb(27, 26, 24)"
    if page == "unknown":
        at_night.said.clear()


async def test_by_day_all_text_can_be_read(at: Visit, ann: Ann) -> None:
    pages: list[Callable[[], Awaitable[object]]] = [
        lambda: at.open(ann.page),
        lambda: at.page.get_by_role("button", name="Save").click(),
        lambda: at.open(ann.leaving("news")),
        lambda: at.page.get_by_role("button", name="Unsubscribe").click(),
    ]
    for turn in pages:
        await turn()
        contrast, text = await at.faintest()
        assert contrast >= AA, text


async def test_looking_changes_nothing_and_the_button_does(at: Visit, ann: Ann) -> None:
    await at.open(ann.leaving("news"))
    await at.picture("leaving")
    assert (await ann.chosen()).allows("news", Channel.EMAIL)
    await at.page.get_by_role("button", name="Unsubscribe").click()
    await expect(at.page.get_by_role("heading")).to_have_text("You are unsubscribed")
    await at.picture("left")
    assert not (await ann.chosen()).allows("news", Channel.EMAIL)


async def test_an_address_that_was_changed_says_what_to_do(at: Visit, ann: Ann) -> None:
    answer = await at.open(ann.page[:-2] + "zz")
    assert answer.status == 404
    await expect(at.page.get_by_text("newest message")).to_be_visible()
    await at.picture("unknown")
    (told,) = at.said
    assert "404" in told
    at.said.clear()
