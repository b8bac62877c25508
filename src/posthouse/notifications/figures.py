"""Numbers, amounts and days as templates write them, by plain rules for each language.

The rules are few on purpose: which marks a number has, and in which order a day is written.
"""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DIGITS = 40
_MAX_PLACES = 12
_NARROW = "\u202f"
_COMMAS = frozenset(
    {
        "de", "es", "it", "nl", "pt", "da", "id", "tr", "el", "ro", "hr", "sl", "is", "ca",
    }
)  # fmt: skip
_SPACES = frozenset(
    {
        "fr", "ru", "pl", "cs", "sk", "sv", "nb", "nn", "no", "fi", "uk", "bg", "hu", "et",
        "lv", "lt",
    }
)  # fmt: skip
_DOTTED_DAYS = frozenset(
    {
        "de", "da", "fi", "nb", "nn", "no", "pl", "cs", "sk", "ru", "uk", "tr", "ro", "hr",
        "sl", "et", "lv", "bg", "is",
    }
)  # fmt: skip
_SLASHED_DAYS = frozenset(
    {
        "fr", "es", "it", "pt", "el", "ca", "vi",
    }
)  # fmt: skip
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# ISO 4217: currencies without, and with three, decimals.
_WHOLE = frozenset(
    {
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND",
        "VUV", "XAF", "XOF", "XPF",
    }
)  # fmt: skip
_THREE = frozenset(
    {
        "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND",
    }
)  # fmt: skip


class FigureError(ValueError):
    """This is no number or no day."""


def read_number(value: Any) -> Decimal:
    """Give a number, or the number in a text such as `29.99`.

    Raises:
        FigureError: it is none, or has more than 40 digits.
    """
    text = str(value).strip()
    if isinstance(value, bool) or len(text) > MAX_DIGITS or "_" in text:
        raise FigureError("this is no number")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise FigureError("this is no number") from error
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS:
        raise FigureError("this is no number")
    return number


def number(value: Any, locale: str, places: int | None = None) -> str:
    """Write a number with the marks of a language, to `places` decimals or as many as it has."""
    exact = read_number(value)
    if places is None:
        shown = f"{exact:,f}"
    else:
        shown = f"{exact:,.{max(0, min(int(places), _MAX_PLACES))}f}"
    group, mark = _marks(locale)
    return shown.translate({ord(","): group, ord("."): mark})


def money(value: Any, currency: str, locale: str) -> str:
    """Write an amount with the decimals of its currency, then the currency's code.

    Raises:
        FigureError: there is no such amount or currency.
    """
    code = str(currency).upper()
    if len(code) != 3 or not code.isascii() or not code.isalpha():  # noqa: PLR2004  ISO 4217
        raise FigureError("a currency is a code of ISO 4217, such as EUR")
    places = 0 if code in _WHOLE else 3 if code in _THREE else 2
    return f"{number(value, locale, places)}\u00a0{code}"


def day(value: Any, locale: str) -> str:
    """Write the day of a time of RFC 3339, or of a date, in the order of a language.

    Raises:
        FigureError: it is neither.
    """
    language, _, rest = locale.partition("-")
    on = _read_day(value)
    if language == "en":
        if rest.upper().startswith("US"):
            return f"{_MONTHS[on.month - 1]} {on.day}, {on.year}"
        return f"{on.day} {_MONTHS[on.month - 1]} {on.year}"
    if language in _DOTTED_DAYS:
        return f"{on.day:02}.{on.month:02}.{on.year}"
    if language in _SLASHED_DAYS:
        return f"{on.day:02}/{on.month:02}/{on.year}"
    if language == "nl":
        return f"{on.day:02}-{on.month:02}-{on.year}"
    return on.isoformat()


def _read_day(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(str(value)[:MAX_DIGITS]).date()
    except ValueError as error:
        raise FigureError("this is no date; give one such as 2026-11-30") from error


def _marks(locale: str) -> tuple[str, str]:
    language, _, rest = locale.partition("-")
    if language == "de" and rest.upper().startswith(("CH", "LI")):
        return "\u2019", "."
    if language == "es" and rest.upper().startswith(("MX", "US")):
        return ",", "."
    if language in _COMMAS:
        return ".", ","
    if language in _SPACES:
        return _NARROW, ","
    return ",", "."
