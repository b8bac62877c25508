"""Languages: tags of BCP 47 (RFC 5646), and what to fall back on."""

import re
from collections.abc import Iterator

MAX_TAG = 35
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.IGNORECASE,
)


def read_locale(text: str) -> str | None:
    """Give a tag in its usual spelling, such as `zh-Hant-TW`, or None for what is no tag."""
    found = _TAG.fullmatch(text.replace("_", "-")) if len(text) <= MAX_TAG else None
    if found is None:
        return None
    script, region = found["script"], found["region"]
    parts = [
        found["language"].lower(),
        *([script.title()] if script else []),
        *([region.upper()] if region else []),
    ]
    return "-".join(parts) + found["variants"].lower()


def fallbacks(locale: str | None, default: str) -> Iterator[str]:
    """Give a tag, then shorter and shorter ones, then the default."""
    known = read_locale(locale) if locale else None
    while known:
        yield known
        known = known.rpartition("-")[0]
    yield default
