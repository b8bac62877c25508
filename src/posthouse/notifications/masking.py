"""Shows addresses in part: enough to know one's own, too little to write to."""

import re

from posthouse.notifications.model import Channel


def mask(channel: Channel, address: str | None) -> str | None:
    """`anna@example.com` is `a…@example.com`, `+49301234567` is `+493…67`; devices never."""
    if address is None:
        return None
    if channel is Channel.EMAIL:
        name, _, domain = address.rpartition("@")
        return f"{name[:1]}…@{domain}"
    if channel is Channel.SMS:
        return f"{address[:4]}…{address[-2:]}"
    return "device"


_MAX = 2_000
_EMAIL = re.compile(r"[^\s<>()\[\],;:\"'=@]{1,64}@[^\s<>()\[\],;:\"'=@]+")
_NUMBER = re.compile(r"\+\d[\d ().-]{5,18}\d")


def conceal(text: str, channel: Channel | None = None, address: str = "") -> str:
    """Words of a provider, without the addresses and numbers that it repeats in them.

    `address` is where the message went: it is found in any spelling, also a device's.
    """
    text = text[:_MAX]
    if address and channel is not None:
        forms = sorted({address, address.removeprefix("+")}, key=len, reverse=True)
        spelt = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE)
        shown = mask(channel, address) or ""
        text = spelt.sub(lambda _: shown, text)
    text = _EMAIL.sub(lambda found: mask(Channel.EMAIL, found[0]) or "", text)
    return _NUMBER.sub(lambda found: mask(Channel.SMS, found[0]) or "", text)
