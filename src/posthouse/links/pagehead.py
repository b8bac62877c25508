"""What a page says of itself: its title, description, image and icon, read from its first bytes.

It reads what strangers wrote, so each step is bounded: a scan that never goes back, a number of
tags, lengths before anything is decoded. It knows the few tags that matter and no tree.
Sources: WHATWG HTML (charset in the first 1,024 bytes; WHATWG Encoding's labels), ogp.me.
"""

import html
import re
from dataclasses import dataclass, field

import ada_url

from posthouse.kernel.text import tidy_name

BODY_BYTES = 262_144
MAX_TITLE = 300
MAX_DESCRIPTION = 1000
MAX_URL = 2048
_MAX_TAGS = 2000
_MAX_ATTRIBUTES = 50
_MAX_METAS = 200
# Of a text as it is written, before it is decoded: `&#9…9;` of more than 4,300 digits is an error.
_MAX_RAW = 4000

_TAG = re.compile(
    r"<(?:!--|(/?)(title|meta|link|base|script|style|svg|template|textarea)(?=[\s/>]))",
    re.I,
)
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s/>=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+|)))?"""
)
_SKIPPED = frozenset({"script", "style", "svg", "template", "textarea"})
_META_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s{0,20}=\s{0,20}[\"']?([\w.:-]{2,40})", re.I)
_HEADER_CHARSET = re.compile(r"charset\s{0,20}=\s{0,20}[\"']?([\w.:-]{2,40})", re.I)
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Only these: Python's own list of codecs has some that are no charset of a page.
_CHARSETS = {
    "latin1": "cp1252", "iso-8859-1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252",
    "utf-16": "utf-16-le", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932",
    "euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp", "euc-kr": "cp949", "ks_c_5601-1987": "cp949",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5hkscs",
    "koi8-r": "koi8_r", "koi8-u": "koi8_u",
    **{f"windows-125{n}": f"cp125{n}" for n in range(9)},
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageHead:
    """What a page says of itself; the texts are plain text, the addresses whole."""

    title: str | None
    description: str | None
    image: str | None
    icon: str | None


@dataclass(slots=True)
class _Found:
    title: str = ""
    base: str = ""
    icon: str = ""
    meta: dict[str, str] = field(default_factory=dict[str, str])

    def first(self, *names: str) -> str:
        """The first of these that says something."""
        return next((self.meta[name] for name in names if self.meta.get(name)), "")


def read_head(body: bytes, content_type: str, url: str) -> PageHead:
    """Read the head of the page at `url`; any bytes give an answer, if an empty one."""
    body = body[:BODY_BYTES]
    found = _scan(body.decode(charset_of(body, content_type), "replace"))
    base = _whole(found.base, url) or url
    return PageHead(
        title=_text(found.first("og:title", "twitter:title") or found.title, MAX_TITLE),
        description=_text(
            found.first("og:description", "twitter:description", "description"), MAX_DESCRIPTION
        ),
        image=_whole(
            found.first("og:image:secure_url", "og:image", "og:image:url", "twitter:image"), base
        ),
        icon=_whole(found.icon, base),
    )


def charset_of(body: bytes, content_type: str) -> str:
    """The codec of a page: by its first bytes, else its header, else its first `<meta>`."""
    for bom, codec in _BOMS:
        if body.startswith(bom):
            return codec
    if by_header := _HEADER_CHARSET.search(content_type):
        return _CHARSETS.get(by_header[1].lower(), "utf-8")
    if by_meta := _META_CHARSET.search(body[:1024]):
        name = by_meta[1].decode("ascii", "replace").lower()
        # A page whose meta can be read as ASCII is not UTF-16, whatever it says.
        return "utf-8" if name.startswith("utf-16") else _CHARSETS.get(name, "utf-8")
    return "utf-8"


def _scan(page: str) -> _Found:
    """Walk over the tags that matter; what is not closed ends the walk, as it ends the page."""
    found = _Found()
    place = 0
    for _ in range(_MAX_TAGS):
        tag = _TAG.search(page, place)
        if tag is None:
            return found
        place = tag.end()
        name = (tag[2] or "").lower()
        if not name:
            end = page.find("-->", place)
            if end < 0:
                return found
            place = end
        elif not tag[1]:
            attributes, place = _attributes(page, place)
            if name == "title" or name in _SKIPPED:
                closing = re.compile(rf"</{name}(?=[\s/>])", re.I).search(page, place)
                if closing is None:
                    return found
                if name == "title" and not found.title:
                    raw = page[place : min(closing.start(), place + _MAX_RAW)]
                    found.title = html.unescape(raw)
                place = closing.end()
            else:
                _note(found, name, attributes)
    return found


def _attributes(page: str, place: int) -> tuple[dict[str, str], int]:
    """The attributes of the tag that is open at `place`, the first of each name, and its end."""
    attributes: dict[str, str] = {}
    while match := _ATTRIBUTE.match(page, place):
        value = next((text for text in match.groups()[1:] if text is not None), "")
        if len(attributes) < _MAX_ATTRIBUTES:
            attributes.setdefault(match[1].lower(), html.unescape(value[:_MAX_RAW]))
        place = match.end()
    end = page.find(">", place)
    return attributes, end + 1 if end >= 0 else len(page)


def _note(found: _Found, name: str, attributes: dict[str, str]) -> None:
    if name == "meta":
        named = attributes.get("property") or attributes.get("name") or ""
        content = attributes.get("content", "").strip()
        if named and content and len(found.meta) < _MAX_METAS:
            found.meta.setdefault(named.strip().lower()[:100], content)
    elif name == "base":
        found.base = found.base or attributes.get("href", "")
    elif name == "link" and not found.icon:
        kinds = set(attributes.get("rel", "").lower().split())
        if kinds & {"icon", "apple-touch-icon"}:
            found.icon = attributes.get("href", "")


def _text(raw: str, most: int) -> str | None:
    """One line of plain text of at most `most` characters; None if nothing is left."""
    text = " ".join(_UNSTORABLE.sub("", raw).split())
    return tidy_name(text)[:most].rstrip() or None


def _whole(raw: str, base: str) -> str | None:
    """An http or https address, whole; None for anything else."""
    if not raw.strip():
        return None
    try:
        parsed = ada_url.URL(raw.strip(), base=base)
    except ValueError:
        return None
    is_plain = parsed.protocol in {"http:", "https:"} and not parsed.username + parsed.password
    return parsed.href if is_plain and len(parsed.href) <= MAX_URL else None
