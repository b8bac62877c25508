"""Makes what the tests of notifications start from."""

from datetime import timedelta
from typing import Any, cast

from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.notifications.choices import Category
from posthouse.notifications.composing import Templates
from posthouse.notifications.consenting import Consents
from posthouse.notifications.contacts import Device, DeviceKind, Profile, Recipient, Topic
from posthouse.notifications.drawers import Layout, Template
from posthouse.notifications.model import (
    DeliveryId,
    NotificationId,
    ProviderSetup,
    Target,
    TargetKind,
    Wanted,
)
from posthouse.notifications.people import Devices, Recipients, Topics
from posthouse.notifications.providing import Providers
from posthouse.notifications.service import Notifications
from tests.make import Maker


async def recipient(
    make: Maker, principal: Principal | None = None, external_id: str | None = None, **known: Any
) -> Recipient:
    """Somebody with an email address, unless the test says what is known."""
    recipients = cast("Recipients", make.service(Recipients))
    profile = Profile(**(known or {"email": "ann@example.com", "name": "Ann"}))
    return await recipients.make(principal or await make.principal(), external_id, profile)


async def device(
    make: Maker, principal: Principal, person: Recipient, token: str | None = None
) -> Device:
    """A device of FCM."""
    devices = cast("Devices", make.service(Devices))
    return await devices.add(principal, person.id, DeviceKind.FCM, token or f"token-{ids.fresh()}")


async def topic(make: Maker, principal: Principal, key: str = "news") -> Topic:
    """A topic without members."""
    return await cast("Topics", make.service(Topics)).put(principal, key, key.title())


async def category(make: Maker, principal: Principal, key: str = "news", **chosen: Any) -> Category:
    """A category that can be switched off, unless the test says otherwise."""
    consents = cast("Consents", make.service(Consents))
    return await consents.put_category(principal, Category(key, key.title(), **chosen))


async def template(
    make: Maker,
    principal: Principal,
    key: str = "welcome",
    *,
    is_published: bool = False,
    **locales: Any,
) -> Template:
    """A template that greets by email and text message, unless the test says what is in it."""
    templates = cast("Templates", make.service(Templates))
    hello = {
        "email": {"subject": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"},
        "sms": {"text": "Hello {{ name }}"},
    }
    draft = {
        "schema": None, "default_locale": "en", "layout": None, "locales": locales or {"en": hello},
    }  # fmt: skip
    made, _ = await templates.put(principal, key, key.title(), draft)
    if is_published:
        await templates.publish(principal, key)
    return made


async def layout(make: Maker, principal: Principal, key: str = "frame") -> Layout:
    """A layout in HTML."""
    templates = cast("Templates", make.service(Templates))
    source = {"html": "<main>{{ content }}</main>"}
    return await templates.put_layout(principal, key, source)


async def provider(make: Maker, principal: Principal, name: str = "console") -> ProviderSetup:
    """A provider of email that writes into a folder."""
    providers = cast("Providers", make.service(Providers))
    options = {"from_address": "shop@example.com"}
    return await providers.make(principal, "console-email", options, {}, name=name)


async def notification(make: Maker, principal: Principal) -> tuple[NotificationId, DeliveryId]:
    """A notification of tomorrow, and its one message."""
    await provider(make, principal)
    notifications = cast("Notifications", make.service(Notifications))
    tomorrow = make.runtime.parts.clock.now() + timedelta(days=1)
    wanted = Wanted(
        (Target(TargetKind.EMAIL, "ann@example.com"),),
        content={"subject": "Hello", "text": "Hello"},
        send_at=tomorrow,
    )
    (made,) = await notifications.send(principal, [wanted])
    (message,) = (await notifications.show(principal, made, 1)).deliveries
    return made, message.id
