"""What is read from a page, and from what only looks like one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kernel.text import tidy_name
from posthouse.links.pagehead import (
    BODY_BYTES,
    MAX_DESCRIPTION,
    MAX_TITLE,
    PageHead,
    charset_of,
    read_head,
)
from tests.documents import ROOT

URL = "https://example.com/a/b"
NAUGHTY: list[str] = json.loads(
    (ROOT / "tests" / "corpora" / "blns" / "blns.json").read_text("utf-8")
)


def head(page: str | bytes, content_type: str = "text/html; charset=utf-8") -> PageHead:
    body = page if isinstance(page, bytes) else page.encode("utf-8", "surrogatepass")
    return read_head(body, content_type, URL)


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>One</title><title>Two</title>", "One"),
        ("<TITLE\n lang=en >One</TITLE >", "One"),
        ("<title>\n  two\t lines \n</title>", "two lines"),
        ("<title>a<b>c</title>", "a<b>c"),
        ("<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>", "<script>alert(1)</script>"),
        ("<title>&amp;lt;</title>", "&lt;"),
        ("<title><script>alert(1)</script></title>", "<script>alert(1)</script>"),
        ("<!-- <title>no</title> --><title>yes</title>", "yes"),
        ("<script>'<title>no</title>'</script><title>yes</title>", "yes"),
        ("<svg><title>no</title></svg><title>yes</title>", "yes"),
        ("<title>doc</title><meta property=og:title content=card>", "card"),
        ("<meta name='og:title' content='by name'>", "by name"),
        ("<meta content='turned \"round\"' property='og:title'>", 'turned "round"'),
        ("<meta property=og:title content=''><title>doc</title>", "doc"),
        ("<title>a\u202eb\u0000c&#0;&#xd800;</title>", "abc\ufffd\ufffd"),
        ("<title>never closed", None),
        ("<titles>no</titles>", None),
        ('<meta property=og:title content="never closed', None),
        ("", None),
        ("\x00\x01\xff", None),
    ],
)
def test_a_title_is_found(page: str, title: str | None) -> None:
    assert head(page).title == title


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("/i.png", "https://example.com/i.png"),
        ("i.png", "https://example.com/a/i.png"),
        ("//cdn.example/i.png", "https://cdn.example/i.png"),
        ("http://b\u00fccher.example/\u00e9", "http://xn--bcher-kva.example/%C3%A9"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("data:image/png;base64,AAAA", None),
        ("file:///etc/passwd", None),
        ("ftp://example.com/i.png", None),
        ("https://user:pass@example.com/i.png", None),
        ("https://[", None),
        ("/" + "i" * 3000, None),
        ("   ", None),
    ],
)
def test_only_whole_web_addresses_are_given(value: str, whole: str | None) -> None:
    found = head(f'<meta property="og:image" content="{value}"><link rel="icon" href="{value}">')
    assert (found.image, found.icon) == (whole, whole)


def test_a_base_counts_if_it_is_an_address() -> None:
    image = "<meta property=og:image content=i.png>"
    assert head(f"<base href=/c/>{image}").image == "https://example.com/c/i.png"
    assert head(f"<base href='javascript:1'>{image}").image == "https://example.com/a/i.png"


@pytest.mark.parametrize(
    ("body", "content_type", "title"),
    [
        ("<title>\u20ac</title>".encode(), "text/html", "\u20ac"),
        ("<title>\u20ac</title>".encode("cp1252"), "text/html; charset=ISO-8859-1", "\u20ac"),
        ("<title>\u65e5</title>".encode("cp932"), 'text/html; charset="Shift_JIS"', "\u65e5"),
        ("<meta charset=koi8-r><title>\u0416</title>".encode("koi8_r"), "text/html", "\u0416"),
        ("<meta http-equiv=Content-Type content='text/html; charset=gb2312'><title>\u4e2d</title>"
         .encode("gb18030"), "text/html", "\u4e2d"),
        ("<title>\u20ac</title>".encode("utf-16-le"), "text/html; charset=utf-16", "\u20ac"),
        ("\ufeff<title>\u20ac</title>".encode("utf-16-be"), "text/html; charset=utf-8", "\u20ac"),
        (b"<title>\xff</title>", "text/html; charset=utf-8", "\ufffd"),
        (b"<meta charset=utf-16><title>x</title>", "text/html", "x"),
        (b"+ADw-title+AD4-x", "text/html; charset=utf-7", None),
    ],
)  # fmt: skip
def test_the_charset_is_found(body: bytes, content_type: str, title: str | None) -> None:
    assert read_head(body, content_type, URL).title == title


@pytest.mark.parametrize("name", ["hex", "zlib", "rot13", "unicode_escape", "idna", "undefined"])
def test_pythons_own_codecs_are_no_charsets(name: str) -> None:
    assert charset_of(b"", f"text/html; charset={name}") == "utf-8"


@pytest.mark.parametrize("text", NAUGHTY)
def test_naughty_strings_are_only_text(text: str) -> None:
    found = head(f"<title>{text}</title><meta name=description content='{text}'>")
    for line in (found.title, found.description):
        assert line is None or line == tidy_name(line)


@given(st.binary(max_size=2000) | st.text(max_size=2000).map(lambda text: text.encode("utf-8")),
       st.text(max_size=40))  # fmt: skip
def test_any_bytes_give_an_answer(body: bytes, content_type: str) -> None:
    check(read_head(body, content_type, URL))


PIECES = [
    "<", ">", "<title>", "</title>", "<meta ", "property=", "og:title", "content=", "'", '"', "=",
    "/", " ", "<!--", "-->", "<script>", "</script", "<svg", "&#", "9" * 5000, "&amp", ";",
    "<base ", "<link ", "rel=icon ", "href=", "http://", "\x00", "\ufeff", "x",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=200).map("".join))
def test_any_pile_of_tags_gives_an_answer(page: str) -> None:
    check(head(page))


def check(found: PageHead) -> None:
    assert found.title is None or 0 < len(found.title) <= MAX_TITLE
    assert found.description is None or 0 < len(found.description) <= MAX_DESCRIPTION
    for url in (found.image, found.icon):
        assert url is None or url.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<!--", "<title>", "<title", "<script>", "<svg>", "<meta ", '<meta a="',
     "<meta a='", "<meta x", "<meta =", "&#9", "<meta content=&amp;>", "<link rel=icon", "</title",
     " ", '"', "<meta" + " " * 100],
)  # fmt: skip
def test_hostile_pages_say_nothing(piece: str) -> None:
    """Each walk is over soon: one that goes back for each tag would not end before the limit."""
    assert head(piece * (BODY_BYTES // len(piece))) == PageHead(None, None, None, None)
