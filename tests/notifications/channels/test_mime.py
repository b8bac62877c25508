"""Every email that we write is read by the standard parser as what it was."""

import re
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.errors import EmailInvalidError
from posthouse.notifications.mime import Mailbox, Skeleton, header, mailbox_header
from posthouse.notifications.model import Attachment, EmailContent, Outgoing

AT = datetime(2026, 11, 26, 12, 0, 5, tzinfo=UTC)
BOUNDARY = "=_0123456789abcdef"
SKELETON = Skeleton(
    Mailbox.of("shop@shop.example", "The Shop"), BOUNDARY, Mailbox.of("help@shop.example")
)
HEADERS = {
    *("mime-version", "from", "reply-to", "to", "subject", "date", "message-id", "content-type")
}
# What a body or a name may hold: all but NUL and half characters, which the API refuses.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n"))
WORDS = st.lists(st.text('abc \t,.;<>@"\\=?_-é漢🎉', max_size=30), max_size=12).map(" ".join)


def outgoing(**chosen: object) -> Outgoing:
    fields = {
        "key": "dlv_01",
        "address": "ann@example.com",
        "content": EmailContent("Hello", "Hello there"),
        **chosen,
    }
    return Outgoing(**fields)  # type: ignore[arg-type]


def parse(raw: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(raw)


def lines_of(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def no_blanks(name: str) -> str:
    return "".join(name.split())


def text_of(part: EmailMessage) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r\n", "\n")


def assert_well_formed(raw: bytes) -> None:
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw), "each line ends in CRLF"
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@given(subject=LINE | WORDS, name=LINE | WORDS, text=TEXT, html=TEXT)
def test_what_is_written_is_read(subject: str, name: str, text: str, html: str) -> None:
    subject, name = subject[:2000], name[:400]
    raw = SKELETON.fill(outgoing(content=EmailContent(subject, text, html), to_name=name), at=AT)
    assert_well_formed(raw)
    found = parse(raw)
    assert {one.lower() for one in found} == HEADERS
    assert str(found["subject"]) == subject
    (to,) = found["to"].addresses
    # The parser leaves a blank between encoded words of a name; the next test reads them right.
    assert (no_blanks(to.display_name), to.addr_spec) == (no_blanks(name), "ann@example.com")
    assert found["message-id"] == "<dlv_01@shop.example>"
    assert found["date"].datetime == AT
    plain, rich = cast("list[EmailMessage]", found.get_payload())
    assert [part.get_content_type() for part in (plain, rich)] == ["text/plain", "text/html"]
    assert (text_of(plain), text_of(rich)) == (lines_of(text), lines_of(html))


@given(name=st.text("aé漢🎉 ", min_size=1, max_size=200).filter(lambda name: not name.isascii()))
def test_a_long_name_is_read_whole(name: str) -> None:
    written = mailbox_header("To", Mailbox.of("ann@example.com", name)).decode()
    phrase = written.removeprefix("To: ").rpartition("<")[0].rstrip()
    assert str(make_header(decode_header(phrase))) == name.strip()


@given(
    text=TEXT,
    files=st.lists(
        st.tuples(LINE.filter(lambda name: name.strip()), st.binary(max_size=300)),
        min_size=1,
        max_size=3,
    ),
)
def test_attachments_are_read_as_they_were(text: str, files: list[tuple[str, bytes]]) -> None:
    attached = tuple(
        Attachment(name.strip()[:200], "application/pdf", content) for name, content in files
    )
    raw = SKELETON.fill(
        outgoing(content=EmailContent("x", text, "<b>"), attachments=attached), at=AT
    )
    assert_well_formed(raw)
    alternative, *rest = cast("list[EmailMessage]", parse(raw).get_payload())
    plain, _ = cast("list[EmailMessage]", alternative.get_payload())
    assert text_of(plain) == lines_of(text)
    assert [
        (one.get_filename(), one.get_content_type(), one.get_payload(decode=True)) for one in rest
    ] == [(one.name.strip(), one.media_type, one.content) for one in attached]


@given(text=TEXT)
def test_a_text_alone_ends_in_a_line_break(text: str) -> None:
    raw = SKELETON.fill(outgoing(content=EmailContent("x", text)), at=AT)
    assert_well_formed(raw)
    assert text_of(parse(raw)) in {lines_of(text), lines_of(text) + "\n"}
    assert raw.endswith(b"\r\n")


@given(value=LINE | WORDS)
def test_a_header_of_a_caller_is_read_as_it_was(value: str) -> None:
    raw = header("X-Note", value[:2000]) + b"\r\n"
    assert_well_formed(raw)
    assert str(parse(raw)["x-note"]) == value[:2000]
    assert len(parse(raw).items()) == 1


_BREAKS = ["\r\nBcc: eve@example.com", "\nBcc: eve@example.com", "\rBcc: eve", "\x00", "\r\n\r\nHi"]


@pytest.mark.parametrize("injected", _BREAKS)
@pytest.mark.parametrize(
    "field", ["address", "to_name", "key", "header", "name", "subject", "file"]
)
def test_a_line_break_gets_into_no_header(field: str, injected: str) -> None:
    bad = f"a{injected}"
    made = {
        "address": outgoing(address=f"ann{injected}@example.com"),
        "to_name": outgoing(to_name=bad + "b"),
        "key": outgoing(key=bad),
        "header": outgoing(headers=(("X-A", bad),)),
        "name": outgoing(headers=((f"X-A{injected}", "b"),)),
        "subject": outgoing(content=EmailContent(bad, "text")),
        "file": outgoing(attachments=(Attachment(bad, "a/b", b""),)),
    }[field]
    with pytest.raises(EmailInvalidError) as caught:
        SKELETON.fill(made, at=AT)
    assert caught.value.fields


@given(text=st.sampled_from([f"--{BOUNDARY}{end}" for end in ("a", "m", "a--", "", "b")]))
def test_a_body_that_holds_the_boundary_ends_nothing(text: str) -> None:
    raw = SKELETON.fill(outgoing(content=EmailContent("x", text, text)), at=AT)
    assert [text_of(cast("EmailMessage", part)) for part in parse(raw).iter_parts()] == [text, text]


@pytest.mark.parametrize(
    "name", ["Bcc", "to", "Content-Type", "DKIM-Signature", "Received", "MIME-Version", "Date"]
)
def test_headers_that_are_ours_cannot_be_given(name: str) -> None:
    with pytest.raises(EmailInvalidError):
        SKELETON.fill(outgoing(headers=((name, "x"),)), at=AT)


def test_the_address_of_an_unsubscribe_link_is_not_broken_up() -> None:
    url = "https://shop.example/-/unsubscribe/" + "a" * 300
    raw = header("List-Unsubscribe", f"<mailto:out@shop.example>, <{url}>")
    assert f"<{url}>".encode() in raw
    with pytest.raises(EmailInvalidError):
        header("List-Unsubscribe", "<https://é.example>")


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("o'neil+x@a.example", "o'neil+x@a.example"),
        ("jörg@a.example", "jörg@a.example"),
    ],
)
def test_a_domain_goes_out_in_ascii(address: str, wire: str) -> None:
    assert Mailbox.of(address).address == wire
    (to,) = parse(SKELETON.fill(outgoing(address=address), at=AT))["to"].addresses
    assert to.domain == wire.rpartition("@")[2]


@pytest.mark.parametrize(
    "address",
    [
        *("", "@", "a@", "@a", "a b@c", "a@b c", "a@b>", "<a@b", "a@b,c@d", "a..b@c", ".a@b"),
        *("a@-b", "a@b-", "a@b..c", "a@" + "b" * 300, "a" * 65 + "@b", "\ud800@b", "a@\ud800"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(EmailInvalidError):
        Mailbox.of(address)
