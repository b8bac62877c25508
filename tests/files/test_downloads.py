"""A signed address gives its bytes to whoever has it for its time; no part can be changed."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.app import create_app
from posthouse.files.errors import RangeError
from posthouse.files.model import Disposition, FileId
from posthouse.files.ranges import disposition, read_range
from posthouse.files.urls import Address, Addresses
from posthouse.kernel import ids
from posthouse.kernel.signing import Signer
from posthouse.runtime import open_runtime
from posthouse.settings import Settings
from tests.conftest import client_of
from tests.files.sending import CSV, local, look, send
from tests.make import Maker

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


async def linked(client: httpx.AsyncClient, file_id: str, **wanted: object) -> httpx.Response:
    return await client.post(f"/api/v1/files/{file_id}/link", json=wanted)


async def test_whoever_has_the_address_reads_without_a_key(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    shown = await look(client, await send(client))
    answer = await stranger.get(local(shown["url"]), headers={"Accept-Encoding": "gzip"})
    assert answer.content == CSV
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["etag"] == f'"{shown["sha256"]}"'
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(CSV))
    assert "content-encoding" not in answer.headers
    head = await stranger.head(local(shown["url"]))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CSV))


async def test_bytes_that_somebody_has_are_not_sent_again(client: httpx.AsyncClient) -> None:
    url = local((await look(client, await send(client)))["url"])
    tag = (await client.get(url)).headers["etag"]
    for tags in (tag, f'"other", W/{tag}'):
        answer = await client.get(url, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-3", 0, 4), ("bytes=5-", 5, None), ("bytes=-4", -4, None), ("bytes=2-9999", 2, None)],
)
async def test_a_part_is_given(
    client: httpx.AsyncClient, wanted: str, start: int, end: int | None
) -> None:
    url = local((await look(client, await send(client)))["url"])
    answer = await client.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, CSV[start:end])
    assert answer.headers["content-range"].endswith(f"/{len(CSV)}")
    assert int(answer.headers["content-length"]) == len(CSV[start:end])
    stale = await client.get(url, headers={"Range": wanted, "If-Range": '"old"'})
    assert (stale.status_code, stale.content) == (200, CSV)


async def test_a_part_beyond_the_end_is_416(client: httpx.AsyncClient) -> None:
    url = local((await look(client, await send(client)))["url"])
    answer = await client.get(url, headers={"Range": "bytes=9999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CSV)}"


@given(header=st.text(max_size=30) | st.from_regex(r"bytes=\d{0,3}-\d{0,3}", fullmatch=True),
       size=st.integers(1, 500))  # fmt: skip
def test_a_range_lies_within_the_file(header: str, size: int) -> None:
    try:
        span = read_range(header, size)
    except RangeError:
        return
    assert span is None or 0 <= span.start < span.end <= size


async def test_each_change_of_an_address_makes_it_worthless(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    first, second = await send(client), await send(client, b"other,file\n1,2\n")
    url = local((await look(client, first))["url"])
    parts = urlsplit(url)
    for at in range(len("/-/files/"), len(url)):
        changed = url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]
        answer = await stranger.get(changed)
        assert answer.status_code in {403, 404}, changed
    query = parse_qsl(parts.query)
    for pairs in (query[:-1], [*query, query[0]], [*query, ("more", "1")], query[::-1][:2], []):
        answer = await stranger.get(f"{parts.path}?{urlencode(pairs)}")
        assert (answer.status_code, answer.json()["code"]) == (403, "signature-invalid")
    assert (await stranger.get(url.replace(first, second))).status_code == 403
    assert (await stranger.get(url.replace("as=attachment", "as=inline"))).status_code == 403
    assert (await stranger.get(f"{parts.path}?{urlencode(query[::-1])}")).status_code == 200


def test_an_address_ends_when_it_says() -> None:
    addresses = Addresses(Signer.for_purpose("x" * 32, "file address"), "https://a.example")
    address = Address(ids.fresh(), FileId(ids.fresh()), "a b", Disposition.INLINE, 1000)
    parts = urlsplit(addresses.make(address))
    workspace, file, name = parts.path.removeprefix("/-/files/").split("/")
    read = addresses.read((workspace, file, "a b"), parse_qsl(parts.query), now=999.9)
    assert read == address
    assert name == "a%20b"
    with pytest.raises(Exception, match="expired"):
        addresses.read((workspace, file, "a b"), parse_qsl(parts.query), now=1000)


async def test_an_address_is_made_for_the_time_that_is_asked_for(client: httpx.AsyncClient) -> None:
    answer = await linked(client, await send(client), expires_in=60, disposition="inline")
    assert answer.status_code == 200
    left = datetime.fromisoformat(answer.json()["expires_at"]) - datetime.now(UTC)  # noqa: TID251
    assert 50 < left.total_seconds() <= 60
    got = await client.get(local(answer.json()["url"]))
    assert got.headers["content-disposition"].startswith("inline;")


@pytest.mark.parametrize(
    "wanted",
    [
        {"expires_in": 0}, {"expires_in": 604_801}, {"expires_in": "5"}, {"disposition": "open"},
        {"result": ""}, {"more": 1},
    ],
)  # fmt: skip
async def test_a_bad_wish_is_refused(client: httpx.AsyncClient, wanted: dict[str, object]) -> None:
    answer = await linked(client, await send(client), **wanted)
    assert answer.status_code == 422


async def test_a_result_that_is_not_there_has_no_address(client: httpx.AsyncClient) -> None:
    answer = await linked(client, await send(client), result="thumb")
    assert (answer.status_code, answer.json()["code"]) == (404, "result-not-found")


async def test_a_deleted_file_is_gone_for_its_address_too(client: httpx.AsyncClient) -> None:
    shown = await look(client, await send(client))
    await client.delete(f"/api/v1/files/{shown['id']}")
    assert (await client.get(local(shown["url"]))).status_code == 404


async def test_what_could_run_scripts_is_never_shown_inline(client: httpx.AsyncClient) -> None:
    file_id = await send(client, SVG, "logo.svg")
    answer = await linked(client, file_id, disposition="inline")
    got = await client.get(local(answer.json()["url"]))
    assert got.headers["content-type"] == "image/svg+xml"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in got.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("filename", "plain"),
    [("a.pdf", "a.pdf"), ('a";\r\nX: y.pdf', "a____X_ y.pdf"), ("größe.pdf", "groe.pdf"),
     ("北京.pdf", ".pdf"), ("", "file"), ("%41/../b", "_41_.._b")],
)  # fmt: skip
def test_a_name_cannot_leave_its_header(filename: str, plain: str) -> None:
    header = disposition(Disposition.ATTACHMENT, filename, "application/pdf")
    assert header.isascii()
    assert "\r" not in header
    assert "\n" not in header
    assert f'filename="{plain}"' in header


async def test_files_may_be_downloaded_from_a_host_of_their_own(
    settings: Settings, make: Maker
) -> None:
    own = settings.model_copy(
        update={"files": settings.files.model_copy(update={"base_url": "https://files.example"})}
    )
    async with (
        open_runtime(own) as runtime,
        client_of(create_app(runtime), await make.key()) as api,
    ):
        shown = await look(api, await send(api))
        parts = urlsplit(shown["url"])
        assert parts.hostname == "files.example"
        path = f"{parts.path}?{parts.query}"
        answer = await api.get(path, headers={"Host": "files.example"})
        assert answer.content == CSV
        assert (await api.get(path, headers={"Host": "other.example"})).status_code == 421
