"""The text of an HTML email, for those who read no HTML.

Template tags stand in the HTML as words while it is read (`Tags`), and are put back in the end.
The reader is our own and each character is looked at a few times at most: the standard library's
takes minutes over some hundred KB that are made to be slow.
"""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from posthouse.notifications.tags import Tags, hide

# What is in these is not shown, and is no HTML.
_RAW = frozenset({"script", "style", "title", "textarea", "template", "noscript", "xmp"})
_SILENT = frozenset({"head", "svg", "object"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "pre", "hr"}
)
_LINES = frozenset({"div", "li", "tr", "section", "article", "header", "footer", "dt", "dd", "br"})
_HIDDEN = re.compile(r"display\s{0,8}:\s{0,8}none", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n\f\u200b]+")
_EMPTY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")
_NAME = re.compile(r"[a-zA-Z][^\s/>]{0,60}")
_ATTRIBUTE = re.compile(r"""([^\s=/"'>]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_MOST_QUOTED = 8
_MOST_INDENT = 5


def text_of(html: str) -> str:
    """Give the text of a template in HTML, itself a template with the same tags.

    Raises:
        SourceError: a template tag does not end.
    """
    tags = hide(html)
    text = _Text(tags)
    _read(tags.text, text)
    return tags.restore(text.text())


def tidy(text: str) -> str:
    """Give a rendered text without blank lines where a loop or a condition left several."""
    return (_EMPTY_LINES.sub("\n\n", text) if "\n" in text else text).strip()


def _read(html: str, text: "_Text") -> None:
    """Walk through HTML from its begin to its end, never back."""
    at = 0
    while (begin := html.find("<", at)) >= 0:
        text.data(html[at:begin])
        follows = html[begin + 1 : begin + 3]
        if html.startswith("<!--", begin):
            end = html.find("-->", begin + 4)
            at = end + 3
        elif follows[:1] in {"!", "?"}:
            end = html.find(">", begin)
            at = end + 1
        elif follows.lstrip("/")[:1].isalpha() and not follows.startswith("//"):
            end = _end_of_tag(html, begin)
            at = _tag(html, begin, end, text) if end >= 0 else 0
        else:
            text.data("<")
            end, at = begin, begin + 1
        if end < 0:  # it is never closed, so nothing comes after it
            return
    text.data(html[at:])


def _end_of_tag(html: str, begin: int) -> int:
    """Where the tag that begins here ends: at a `>` that is not within quotes."""
    end = html.find(">", begin)
    for _ in range(_MOST_QUOTED):
        if end < 0 or html.count('"', begin, end) % 2 == 0:
            break
        end = html.find(">", end + 1)
    return end


def _tag(html: str, begin: int, end: int, text: "_Text") -> int:
    """Tell what a tag means; give where reading goes on."""
    is_end = html[begin + 1] == "/"
    found = _NAME.match(html, begin + 1 + is_end, end)
    name = found[0].lower() if found else ""
    if is_end:
        text.end(name)
        return end + 1
    given = {
        one[1].lower(): _plain(one[2] or one[3] or one[4] or "")
        for one in _ATTRIBUTE.finditer(html, found.end() if found else begin, end)
    }
    if name in _RAW and not text.is_silent:
        closing = re.compile(rf"</{name}", re.IGNORECASE).search(html, end)
        return len(html) if closing is None else html.find(">", closing.end()) + 1 or len(html)
    text.start(name, given)
    return end + 1


def _plain(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a number of thousands of digits
        return text


class _Text:
    """Collects what a reader would see."""

    def __init__(self, tags: Tags) -> None:
        self._tags = tags
        self._lines: list[str] = []
        self._line: list[str] = []
        self._gap = False
        self._silent = ""
        self._depth = 0
        self._link: tuple[str, int] | None = None
        self._lists: list[int | None] = []

    @property
    def is_silent(self) -> bool:
        return bool(self._silent)

    def text(self) -> str:
        """What was read."""
        self._end_line()
        return "\n".join(self._lines).strip("\n")

    def start(self, tag: str, given: Mapping[str, Any]) -> None:
        if self._silent:
            self._depth += tag == self._silent
            return
        if tag in _SILENT or _HIDDEN.search(given.get("style", "")):
            if tag not in _VOID:
                self._silent, self._depth = tag, 1
            return
        self._break(tag)
        if tag == "a":
            self._end_link()
            self._link = (given.get("href", "").strip(), len(self._line))
        elif tag == "img" and given.get("alt", "").strip():
            self._add(given["alt"])
        elif tag in {"ul", "ol"}:
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._item()
        elif tag in {"td", "th"} and self._line:
            self._add(" ")

    def end(self, tag: str) -> None:
        if self._silent:
            self._depth -= tag == self._silent
            if self._depth == 0:
                self._silent = ""
            return
        if tag == "a":
            self._end_link()
        elif tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        self._break(tag)

    def data(self, data: str) -> None:
        if data and not self._silent:
            self._add(_plain(data))

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        indent = "  " * max(0, min(_MOST_INDENT, len(self._lists) - 1))
        self._line = [indent + (f"{number + 1}. " if number is not None else "- ")]

    def _end_link(self) -> None:
        if self._link is None:
            return
        target, start = self._link
        self._link = None
        target = target.removeprefix("mailto:")
        shown = "".join(self._line[start:]).strip()
        if target and not target.startswith("#") and target != shown:
            if shown:
                self._line[start:] = [f"{''.join(self._line[start:]).rstrip()} ({target})"]
            else:
                self._line.append(target)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._end_line()
            self._gap = True
        elif tag in _LINES:
            self._end_line()

    def _add(self, data: str) -> None:
        text = _BLANKS.sub(" ", data)
        if not self._line:
            text = text.lstrip(" ")
            if self._tags.are_blocks(text):
                # A loop or a condition around whole lines.
                self._put(text.strip())
                return
        elif self._line[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self._line.append(text)

    def _end_line(self) -> None:
        if self._link is not None:
            target, start = self._link
            if "".join(self._line[start:]).strip():
                self._end_link()
            else:
                self._link = (target, 0)
        line, self._line = "".join(self._line).rstrip(), []
        if line.strip():
            self._put(line)

    def _put(self, line: str) -> None:
        if self._gap and self._lines:
            self._lines.append("")
        self._gap = False
        self._lines.append(line)
