"""Links do what the sketches of the teaching text do not; a test is named for its line."""

import hashlib

import httpx

from posthouse.app import create_app
from posthouse.kernel.edge import App
from posthouse.links.codes import ALPHABET
from posthouse.runtime import open_runtime
from posthouse.settings import Settings
from tests.conftest import client_of
from tests.make import Maker

URL = "https://example.com/"


def digest_code(url: str) -> str:
    """The code that the text makes of a URL."""
    number, code = int.from_bytes(hashlib.sha256(url.encode()).digest()[:8]), ""
    for _ in range(7):
        number, digit = divmod(number, 62)
        code += ALPHABET[digit]
    return code


async def test_L0774_a_code_is_not_made_of_its_url(client: httpx.AsyncClient) -> None:
    answers = [await client.post("/api/v1/shorten", json={"url": URL}) for _ in range(3)]
    codes = {answer.json()["code"] for answer in answers}
    assert len(codes) == 3
    assert digest_code(URL) not in codes


async def test_L0777_two_who_shorten_one_url_have_two_links(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    mine = (await client.post("/api/v1/shorten", json={"url": URL})).json()
    async with client_of(app, await make.key()) as other:
        theirs = (await other.post("/api/v1/shorten", json={"url": URL})).json()
        assert theirs["code"] != mine["code"]
        assert (await other.delete(f"/api/v1/links/{mine['id']}")).status_code == 404
        assert (await other.delete(f"/api/v1/links/{theirs['id']}")).status_code == 204
        assert (await other.get(f"/{mine['code']}")).status_code == 302
        assert (await other.get(f"/{theirs['code']}")).status_code == 404


async def test_L0777_half_a_character_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/shorten",
        content=b'{"url": "https://example.com/\\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.url"


async def test_L0797_a_link_that_could_not_be_made_changes_no_redirect(
    client: httpx.AsyncClient, app: App, make: Maker
) -> None:
    made = (await client.post("/api/v1/shorten", json={"url": URL})).json()
    async with client_of(app, await make.key()) as other:
        wanted = {"url": "https://example.org/", "code": made["code"]}
        assert (await other.post("/api/v1/links", json=wanted)).status_code == 409
        assert (await other.get(f"/{made['code']}")).headers["location"] == URL


async def test_L0811_a_redirect_is_asked_for_each_time(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = (await client.post("/api/v1/shorten", json={"url": URL})).json()
    answer = await stranger.get(f"/{made['code']}")
    assert answer.status_code == 302
    assert answer.headers["cache-control"] == "private, max-age=0"


async def test_L0811_a_location_is_written_as_browsers_write_it(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await client.post("/api/v1/shorten", json={"url": "https://bücher.example/ä b"})
    answer = await stranger.get(f"/{made.json()['code']}")
    assert answer.headers["location"] == "https://xn--bcher-kva.example/%C3%A4%20b"
    for url in ("javascript:alert(1)", "data:text/html,x", "//evil.example"):
        refused = await client.post("/api/v1/shorten", json={"url": url})
        assert refused.status_code == 422, url


async def test_L0818_nobody_shortens_without_a_key(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post("/api/v1/shorten", json={"url": URL})
    assert answer.status_code == 401


async def test_L0818_shortening_has_a_limit_of_its_own(settings: Settings, make: Maker) -> None:
    tight_links = settings.links.model_copy(update={"shorten_per_s": 0.01, "shorten_burst": 2})
    key = await make.key()
    tight = settings.model_copy(update={"links": tight_links})
    async with open_runtime(tight) as runtime, client_of(create_app(runtime), key) as client:
        answers = [await client.post("/api/v1/shorten", json={"url": URL}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert (await client.get("/api/v1/links")).status_code == 200
