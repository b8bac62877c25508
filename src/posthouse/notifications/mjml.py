"""MJML to HTML, once for each version of a template."""

import re

import mrml

from posthouse.notifications.grammar import SourceError
from posthouse.notifications.tags import hide

_POSITION = re.compile(r" in root template at position (\d+)(?::\d+)?")
# What it does not know it leaves as it is.
_LEFT = re.compile(r"<mj-[a-z-]{1,40}")


def to_html(source: str) -> str:
    """Give the HTML of a template in MJML, with its template tags where they were.

    Nothing is fetched: there are no includes, and no fonts of others. Run it where a crash costs
    nothing: the library is native.

    Raises:
        SourceError: it is no MJML, or a tag stands where MJML has no room for it.
    """
    tags = hide(source)
    try:
        html = mrml.to_html(
            tags.text,
            mrml.ParserOptions(include_loader=mrml.noop_loader()),
            mrml.RenderOptions(fonts={}),
        ).content
    except OSError as error:
        raise SourceError(*_place(str(error), tags.text)) from error
    unknown = _LEFT.search(html)
    if unknown is not None:
        line = source[: source.find(unknown[0])].count("\n") + 1
        raise SourceError(f"MJML has no room for `{unknown[0]}>` here", line)
    lost = tags.lost(html)
    if lost is not None:
        line = source[: source.find(lost)].count("\n") + 1
        raise SourceError(f"MJML has no room for `{lost[:60]}` here; use mj-raw", line)
    return tags.restore(html)


def _place(message: str, text: str) -> tuple[str, int]:
    found = _POSITION.search(message)
    if found is None:
        return f"MJML: {message.removesuffix(' in root template')}", 0
    before = text.encode()[: int(found[1])]
    return f"MJML: {message[: found.start()]}", before.count(b"\n") + 1
