"""The zones of IANA's time zone database."""

from functools import cache
from zoneinfo import available_timezones


@cache
def _known() -> frozenset[str]:
    """All names; they are read once from the machine's database."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}


def is_zone(name: str) -> bool:
    """Whether there is such a zone."""
    return name in _known()
