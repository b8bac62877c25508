"""The filters that templates may use: each first takes what it costs off the budget.

None gives markup, so what a filter makes of data is escaped like the data itself.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from html import escape
from typing import Any, cast

from jinja2 import Undefined

from posthouse.notifications import figures
from posthouse.notifications.budget import Budget

Filter = Callable[..., Any]
_WIDTH = 255
# What a call costs, as so many characters.
_CALL, _FIGURE = 64, 512
# Filters that look at one item, however many there are.
_LIGHT = frozenset({"length", "first", "last", "default"})


class FilterUseError(ValueError):
    """A filter was given what it cannot work with."""


def upper(value: Any) -> str:
    """The text in upper case."""
    return str(value).upper()


def lower(value: Any) -> str:
    """The text in lower case."""
    return str(value).lower()


def title(value: Any) -> str:
    """The text with each word's first letter in upper case."""
    return str(value).title()


def capitalize(value: Any) -> str:
    """The text with its first letter in upper case and the rest in lower case."""
    return str(value).capitalize()


def trim(value: Any) -> str:
    """The text without blanks around it."""
    return str(value).strip()


def truncate(value: Any, length: int = _WIDTH, end: str = "…") -> str:
    """The first `length` characters, cut at a blank where there is one, then `end`."""
    text = str(value)
    if len(text) <= length:
        return text
    cut = text[: max(0, length - len(end))]
    return (cut.rpartition(" ")[0] or cut).rstrip() + end


def length(value: Any) -> int:
    """How many characters, items or entries there are."""
    return len(value)


def first(value: Any) -> Any:
    """The first character, item or name; nothing if there is none."""
    return next(iter(value), "")


def last(value: Any) -> Any:
    """The last character, item or name; nothing if there is none."""
    return next(reversed(value), "")


def items(value: Any) -> list[tuple[Any, Any]]:
    """The names and values of an object.

    Raises:
        FilterUseError: it is none.
    """
    if not isinstance(value, dict):
        raise FilterUseError("`items` wants an object")
    return list(cast("dict[Any, Any]", value).items())


def rounded(value: Any, places: int = 0) -> Any:
    """The number to so many decimals."""
    found = round(figures.read_number(value), max(0, min(int(places), 12)))
    return int(found) if places == 0 else found


def whole(value: Any, default: int = 0) -> int:
    """The number without its decimals; `default` for what is none."""
    try:
        return int(figures.read_number(value))
    except figures.FigureError:
        return default


def real(value: Any, default: float = 0.0) -> float:
    """The number as a binary one; `default` for what is none."""
    try:
        return float(figures.read_number(value))
    except figures.FigureError:
        return default


def magnitude(value: Any) -> Any:
    """The number without its sign."""
    return abs(figures.read_number(value))


def escaped(value: Any) -> str:
    """The text as it stands in HTML, for texts that are not escaped anyway."""
    return escape(str(value))


def otherwise(value: Any, default: Any = "", boolean: bool = False) -> Any:
    """The value; `default` if it is not known or null, with `boolean` also if it is empty."""
    if isinstance(value, Undefined) or value is None:
        return default
    return (value or default) if boolean else value


PLAIN: Mapping[str, Filter] = {
    "upper": upper,
    "lower": lower,
    "title": title,
    "capitalize": capitalize,
    "trim": trim,
    "truncate": truncate,
    "default": otherwise,
    "length": length,
    "first": first,
    "last": last,
    "items": items,
    "round": rounded,
    "int": whole,
    "float": real,
    "abs": magnitude,
    "escape": escaped,
    "e": escaped,
}
NAMES = frozenset({*PLAIN, "join", "replace", "date", "number", "money"})


def filters_for(budget: Budget, locale: Callable[[], str], *, is_html: bool) -> dict[str, Filter]:
    """All filters, on one budget; `locale` is asked at each use.

    In HTML everything is escaped at the end, so there `escape` has nothing to do.
    """
    made = {
        name: _paid(function, budget, is_weighed=name not in _LIGHT)
        for name, function in PLAIN.items()
    }

    def join(value: Any, separator: str = "") -> str:
        """The items as texts, with `separator` between them."""
        budget.spend(_CALL)
        budget.weigh(value)
        texts = [str(item) for item in value]
        budget.spend(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    def replace(value: Any, old: str, new: str) -> str:
        """The text with `new` wherever `old` was."""
        text, old, new = str(value), str(old), str(new)
        budget.spend(_CALL + len(text))
        budget.spend(text.count(old) * len(new))
        return text.replace(old, new)

    def date(value: Any) -> str:
        """The day of a time, in the language of the message."""
        return figures.day(value, locale())

    def number(value: Any, places: int | None = None) -> str:
        """The number, in the language of the message."""
        return figures.number(value, locale(), places)

    def money(value: Any, currency: str) -> str:
        """The amount with its currency, in the language of the message."""
        return figures.money(value, currency, locale())

    for function in (date, number, money):
        made[function.__name__] = _paid(function, budget, call=_FIGURE)
    if is_html:
        made["escape"] = made["e"] = _paid(str, budget)
    return made | {"join": join, "replace": replace}


def _paid(
    function: Filter, budget: Budget, *, call: int = _CALL, is_weighed: bool = True
) -> Filter:
    @wraps(function)
    def paid(value: Any, *arguments: Any, **named: Any) -> Any:
        budget.spend(call)
        if is_weighed:
            budget.weigh(value)
        return function(value, *arguments, **named)

    return paid
