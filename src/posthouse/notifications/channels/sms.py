"""Text messages: numbers, their countries, and how many segments a text takes.

Sources: ITU-T E.164 (numbers), 3GPP TS 23.038 (the GSM 7-bit alphabet, UCS-2), 3GPP TS 23.040
(concatenated messages: 153 and 67 for each).
"""

from typing import ClassVar

import phonenumbers

from posthouse.kernel.errors import InvalidInputError
from posthouse.notifications.phones import as_e164

MAX_NUMBER = 64
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_GSM = (160, 153)
_UCS2 = (70, 67)


class PhoneInvalidError(InvalidInputError):
    """This is not a telephone number with its country."""

    code: ClassVar[str] = "phone-invalid"
    title: ClassVar[str] = "This is not a telephone number with its country"


def parse_number(text: str) -> str:
    """Give a number as E.164, such as `+4915112345678`; it must begin with `+` and its country.

    Raises:
        PhoneInvalidError: it is none that can be called.
    """
    if len(text) > MAX_NUMBER:
        raise PhoneInvalidError
    try:
        return as_e164(text)
    except ValueError as error:
        raise PhoneInvalidError from error


def country_of(number: str) -> str | None:
    """The country of a number as in ISO 3166, such as `DE`; None if no country has it."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return None


def segments(text: str) -> int:
    """How many messages a text is sent and paid as; no character is split over two."""
    widths = [1 if one in _BASIC else 2 if one in _EXTENDED else 0 for one in text]
    alone, each = _GSM
    if 0 in widths:
        widths = [len(one.encode("utf-16-be", "replace")) // 2 for one in text]
        alone, each = _UCS2
    if sum(widths) <= alone:
        return 1
    count, used = 1, 0
    for width in widths:
        if used + width > each:
            count, used = count + 1, 0
        used += width
    return count
