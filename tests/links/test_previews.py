"""What a page says of itself, asked for once, and every way in which that fails."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import SystemClock
from posthouse.kernel.errors import OverloadedError
from posthouse.kernel.flights import Flights
from posthouse.kernel.outbound import OutboundFailedError
from posthouse.links.api import routes
from posthouse.runtime import Runtime
from tests.links.strangers import (
    HTML,
    Stranger,
    asking,
    page,
    previews_of,
    redirect,
    stranger,
)
from tests.make import Maker

PREVIEW = "/api/v1/links/preview"
PAGE = """<!doctype html><html><head><title>A &amp; B</title>
<meta property="og:description" content="Two  letters">
<meta property=og:image content='/a.png'><link rel="shortcut icon" href=favicon.ico></head>"""


@pytest.fixture
async def site() -> AsyncGenerator[Stranger]:
    async with stranger() as one:
        yield one


@pytest.fixture
async def asker(runtime: Runtime, make: Maker, site: Stranger) -> AsyncGenerator[httpx.AsyncClient]:
    """A client whose previews know the site's port, with a short deadline."""
    async with asking(runtime, make, previews_of(runtime, site.port, deadline_s=1.0)) as client:
        yield client


async def ask(client: httpx.AsyncClient, url: str) -> httpx.Response:
    return await client.get(PREVIEW, params={"url": url})


async def test_a_page_says_what_it_is(asker: httpx.AsyncClient, site: Stranger) -> None:
    site.answers["/x/y"] = page(PAGE)
    answer = await ask(asker, site.url("/x/y#part"))
    assert answer.status_code == 200
    shown = answer.json()
    assert shown.pop("fetched_at").endswith("Z")
    assert shown == {
        "url": site.url("/x/y"),
        "title": "A & B",
        "description": "Two letters",
        "image": site.url("/a.png"),
        "icon": site.url("/x/favicon.ico"),
    }
    assert b"\r\ncookie:" not in site.heads[0].lower()
    assert b"\r\nauthorization:" not in site.heads[0].lower()


async def test_a_preview_is_kept_and_failures_too(asker: httpx.AsyncClient, site: Stranger) -> None:
    """L1011: the sketch imports a cache and never uses it."""
    site.answers |= {"/kept": page(PAGE), "/down": page("", HTML, b"503 Busy")}
    first, second = [await ask(asker, site.url("/kept")) for _ in range(2)]
    assert first.json() == second.json()
    assert [(await ask(asker, site.url("/down"))).status_code for _ in range(2)] == [502, 502]
    assert site.asked == ["/kept", "/down"]


async def test_what_is_kept_ends(runtime: Runtime, site: Stranger) -> None:
    site.answers["/short"] = page(PAGE)
    previews = previews_of(runtime, site.port, ttl_s=1)
    await previews.preview(site.url("/short"))
    while len(site.asked) < 2:
        await asyncio.sleep(0.1)
        await previews.preview(site.url("/short"))
    assert site.asked == ["/short"] * 2


async def test_100_who_ask_at_once_are_one_request(
    asker: httpx.AsyncClient, site: Stranger
) -> None:
    async def think(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)

    site.slow["/busy"], site.answers["/busy"] = think, page(PAGE)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(asker, site.url("/busy"))) for _ in range(100)]
    assert {task.result().status_code for task in asked} == {200}
    assert site.asked == ["/busy"]


async def test_processes_ask_once_between_them(runtime: Runtime, site: Stranger) -> None:
    async def think(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)

    site.slow["/shared"], site.answers["/shared"] = think, page(PAGE)
    processes = [previews_of(runtime, site.port) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(one.preview(site.url("/shared"))) for one in processes * 5]
    assert len({task.result() for task in asked}) == 1
    assert site.asked == ["/shared"]


async def test_without_valkey_it_works_and_keeps_nothing(runtime: Runtime, site: Stranger) -> None:
    site.answers["/alone"] = page(PAGE)
    dead = open_cache("unix:///nowhere.sock", SystemClock())
    previews = previews_of(runtime, site.port, cache=dead)
    for _ in range(2):
        assert (await previews.preview(site.url("/alone"))).title == "A & B"
    assert site.asked == ["/alone"] * 2


async def test_a_page_that_does_not_answer_in_time_is_a_504(
    asker: httpx.AsyncClient, site: Stranger
) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + HTML + b"Content-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)

    site.slow |= {"/drip": drip, "/silent": silent}
    for path in ("/drip", "/silent"):
        answer = await ask(asker, site.url(path))
        assert (answer.status_code, answer.json()["code"]) == (504, "outbound-timeout"), path


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + HTML + b"Content-Length: 999\r\n\r\n<title>cut",
        b"HTTP/1.1 200 OK\r\n" + HTML + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        page('{"title": 1}', b"Content-Type: application/json\r\n"),
        page(PAGE, b""),
        page(PAGE, HTML + b"Content-Encoding: gzip\r\n"),
        page(PAGE, HTML, b"500 Oops"),
        page(PAGE, HTML, b"404 Not Found"),
        page("", HTML, b"304 Not Modified"),
        redirect("/bad"),
    ],
    ids=["nothing", "garbage", "cut", "bad-chunk", "json", "untyped", "gzip", "500", "404", "304",
         "circle"],
)  # fmt: skip
async def test_what_is_no_page_is_a_502(
    asker: httpx.AsyncClient, site: Stranger, raw: bytes
) -> None:
    """L1021: a refused connection or garbage is no 500."""
    site.answers["/bad"] = raw
    answer = await ask(asker, site.url("/bad"))
    assert (answer.status_code, answer.json()["code"]) == (502, "outbound-failed")


async def test_a_closed_port_is_a_502(runtime: Runtime, make: Maker) -> None:
    async with stranger() as gone:
        pass
    async with asking(runtime, make, previews_of(runtime, gone.port)) as client:
        assert (await ask(client, gone.url("/"))).status_code == 502


async def test_redirects_are_followed_to_the_page(asker: httpx.AsyncClient, site: Stranger) -> None:
    """L1018: a redirect of the other server is no error."""
    site.answers |= {
        "/1": redirect(site.url("/2", "other.example")),
        "/2": redirect("/\u00fc ber"),
        "/%C3%BC%20ber": page(PAGE),
    }
    answer = await ask(asker, site.url("/1"))
    assert answer.status_code == 200
    assert answer.json()["url"] == site.url("/%C3%BC%20ber", "other.example")


@pytest.mark.parametrize(
    "location",
    ["http://inside.example:{port}/", "http://10.0.0.1:{port}/", "http://[::1]:{port}/",
     "http://169.254.169.254/", "file:///etc/passwd", "http://user@public.example:{port}/",
     "gopher://public.example:{port}/", "http://public.example:22/", "http://[::1"],
)  # fmt: skip
async def test_a_redirect_inside_is_refused(
    asker: httpx.AsyncClient, site: Stranger, location: str
) -> None:
    site.answers["/lead"] = redirect(location.format(port=site.port))
    answer = await ask(asker, site.url("/lead"))
    assert (answer.status_code, answer.json()["code"]) == (422, "outbound-refused")
    assert site.asked == ["/lead"]


@pytest.mark.parametrize(
    ("url", "code"),
    [("ftp://public.example/", "url-scheme-not-allowed"), ("nonsense", "url-scheme-not-allowed"),
     ("http://10.0.0.1/", "url-private-target"), ("http://localhost/", "url-self-reference"),
     ("http://router.local/", "url-private-target"), ("http://a:b@public.example/", "url-userinfo"),
     ("https://public.example:8443/", "outbound-refused"), ("http://go.example/x",
     "url-self-reference"), ("http://exa mple.org/", "url-invalid")],
)  # fmt: skip
async def test_an_address_that_is_not_called_is_a_422(
    asker: httpx.AsyncClient, url: str, code: str
) -> None:
    answer = await ask(asker, url)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    if code != "outbound-refused":
        assert answer.json()["errors"][0]["field"] == "query.url"


async def test_only_the_begin_of_a_long_page_is_read(
    asker: httpx.AsyncClient, site: Stranger
) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + HTML + b"\r\n" + PAGE.encode())
        while True:
            writer.write(b"<p>more" * 1000)
            await writer.drain()

    site.slow["/endless"] = endless
    answer = await ask(asker, site.url("/endless"))
    assert (answer.status_code, answer.json()["title"]) == (200, "A & B")


async def test_preview_is_no_id_and_may_be_a_code(
    runtime: Runtime, make: Maker, site: Stranger
) -> None:
    paths = [route.path for route in routes.router.routes]  # type: ignore[attr-defined]
    assert paths.index("/links/preview") < paths.index("/links/{link_id}")
    site.answers["/p"] = page(PAGE)
    async with asking(runtime, make, previews_of(runtime, site.port)) as client:
        made = await client.post(
            "/api/v1/links", json={"url": "https://example.com/", "code": "preview"}
        )
        assert made.status_code == 201
        assert (await client.get("/preview")).status_code == 302
        shown = await client.get(f"/api/v1/links/{made.json()['id']}")
        assert shown.json()["code"] == "preview"
        for spelling in (PREVIEW, PREVIEW + "/"):
            answer = await client.get(spelling, params={"url": site.url("/p")})
            assert answer.json()["title"] == "A & B"
        missing = await client.get(PREVIEW)
        assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "query.url")


async def test_a_flight_goes_on_when_its_asker_leaves() -> None:
    started, go, calls = asyncio.Event(), asyncio.Event(), 0

    async def call(key: str) -> str:
        nonlocal calls
        calls += 1
        started.set()
        await go.wait()
        return key.upper()

    flights = Flights(call, at_once=1)
    async with asyncio.TaskGroup() as group:
        leaves, stays = (group.create_task(flights.ask("a")) for _ in range(2))
        await started.wait()
        leaves.cancel()
        with pytest.raises(OverloadedError):
            await flights.ask("b")
        go.set()
    assert (leaves.cancelled(), stays.result(), calls) == (True, "A", 1)
    assert await flights.ask("b") == "B"


async def test_a_flight_that_fails_fails_for_all_and_is_not_kept() -> None:
    calls = 0

    async def call(key: str) -> str:
        nonlocal calls
        calls += 1
        raise OutboundFailedError

    flights = Flights(call)
    for _ in range(2):
        with pytest.raises(OutboundFailedError):
            await flights.ask("a")
    assert calls == 2
