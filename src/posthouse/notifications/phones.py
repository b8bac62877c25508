"""Telephone numbers: which are taken, and their one spelling (ITU-T E.164)."""

import phonenumbers

MAX_LENGTH = 32


def parse_phone(text: str) -> str:
    """Give a number such as `+49 30 901820` as `+4930901820`.

    It begins with `+` and the country's code: a number without one means another in each country.

    Raises:
        ValueError: it is no number that could be called.
    """
    if len(text) > MAX_LENGTH or not text.strip().startswith("+"):
        raise ValueError("a number begins with + and the country's code")
    return as_e164(text)


def as_e164(text: str) -> str:
    """Give a number with its country in its one spelling.

    Raises:
        ValueError: it is no number that could be called.
    """
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError("this is no telephone number") from error
    if number.extension or not phonenumbers.is_possible_number(number):
        raise ValueError("this is no telephone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
