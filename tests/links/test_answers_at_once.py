"""What is followed without making so much as a task for the request."""

from typing import Any, cast

import httpx
import pytest

from posthouse.app import Application
from posthouse.kernel.edge import App
from posthouse.links.model import Link
from posthouse.links.redirect import Redirector, redirect_start
from posthouse.runtime import Runtime
from tests.make import Maker

HOST = (b"host", b"127.0.0.1")


def ask(app: App, target: str, *headers: tuple[bytes, bytes]) -> bytes | None:
    scope: dict[str, Any] = {"client": ("192.0.2.1", 5000), "headers": list(headers)}
    return cast("Application", app).answer_at_once(target.encode(), scope)


@pytest.fixture
async def known(stranger: httpx.AsyncClient, make: Maker) -> Link:
    """A link that has been followed before."""
    link = await make.link()
    assert (await stranger.get(f"/{link.code}")).status_code == 302
    return link


async def test_a_known_code_is_followed_and_counted(
    app: App, runtime: Runtime, known: Link
) -> None:
    front = cast("Redirector", runtime.front)
    before = front.followed
    start = ask(app, f"/{known.code}", HOST, (b"user-agent", b"Firefox"))
    assert start == (
        b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\n"
        b"cache-control: private, max-age=0\r\ncontent-length: 0\r\n"
    )
    assert front.followed == before + 1


async def test_all_else_takes_the_long_way(app: App, known: Link) -> None:
    path = f"/{known.code}"
    assert ask(app, path) is None
    assert ask(app, path, HOST, HOST) is None
    assert ask(app, path, (b"host", b"evil.example")) is None
    for target in (path + "?a=b", path + "/x", path + "+", "/unknown", "/", "*", "/%C3", "/\xff"):
        assert ask(app, target, HOST) is None, target


async def test_what_never_is_the_same_is_not_prepared(
    app: App, stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link(max_clicks=3)
    assert (await stranger.get(f"/{link.code}")).status_code == 302
    assert ask(app, f"/{link.code}", HOST) is None


@pytest.mark.parametrize("location", ["https://a.example/\r\nSet-Cookie: x=y", "https://ä.example"])
def test_a_location_that_could_end_a_header_is_not_prepared(location: str) -> None:
    assert redirect_start(302, location) is None
