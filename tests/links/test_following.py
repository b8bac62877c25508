"""What those who follow a link see."""

import asyncio
from collections import Counter
from datetime import timedelta

import httpx
import pytest

from posthouse.kernel.clock import SystemClock
from posthouse.links import codes
from tests.make import Maker

NOW = SystemClock().now()


@pytest.mark.parametrize("path", ["/nothing", "/ab", "/a.b", "/robots.txt", "/x/y", "/%61%62%63d"])
async def test_an_unknown_code_is_404(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_program_gets_the_404_as_a_problem(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/nothing", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "code-unknown")


async def test_head_is_answered_as_get_is(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link()
    answer = await stranger.head(f"/{link.code}")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/")


async def test_other_methods_are_refused(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link()
    for method in ("PUT", "DELETE", "PATCH", "POST", "OPTIONS"):
        answer = await stranger.request(method, f"/{link.code}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_an_unknown_host_is_421(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link()
    for path in (f"/{link.code}", "/api/v1/links"):
        answer = await stranger.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 421, path


async def test_localhost_shows_the_links_of_127_0_0_1(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link()
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:8000", "localhost."):
        answer = await stranger.get(f"/{link.code}", headers={"Host": host})
        assert answer.status_code == 302, host


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_status_is_the_chosen_one(
    stranger: httpx.AsyncClient, make: Maker, status: int
) -> None:
    link = await make.link(redirect_status=status)
    answer = await stranger.get(f"/{link.code}")
    assert answer.status_code == status
    age = "max-age=30" if status in {301, 308} else "max-age=0"
    assert answer.headers["cache-control"] == f"private, {age}"


async def test_a_link_out_of_its_time_is_not_followed(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    expired = await make.link(valid_until=NOW - timedelta(seconds=1))
    early = await make.link(valid_from=NOW + timedelta(days=1))
    open_now = await make.link(
        valid_from=NOW - timedelta(days=1), valid_until=NOW + timedelta(days=1)
    )
    assert (await stranger.get(f"/{expired.code}")).status_code == 410
    assert (await stranger.get(f"/{early.code}")).status_code == 404
    assert (await stranger.get(f"/{open_now.code}")).status_code == 302


async def test_a_cached_link_ends_on_time(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link(valid_until=SystemClock().now() + timedelta(seconds=0.6))
    assert (await stranger.get(f"/{link.code}")).status_code == 302
    await asyncio.sleep(0.7)
    assert (await stranger.get(f"/{link.code}")).status_code == 410


async def test_max_clicks_is_exact_for_64_followers(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link(max_clicks=10)
    assert (await stranger.head(f"/{link.code}")).status_code == 302  # does not count
    assert (await stranger.get(f"/{link.code}+")).status_code == 200  # nor does this

    async def follow() -> int:
        return (await stranger.get(f"/{link.code}")).status_code

    async with asyncio.TaskGroup() as group:
        followed = [group.create_task(follow()) for _ in range(64)]
    assert Counter(task.result() for task in followed) == {302: 10, 410: 54}


async def test_query_and_path_are_forwarded_only_when_asked(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    plain = await make.link(url="https://example.com/p?a=1#f")
    both = await make.link(
        url="https://example.com/p?a=1#f", forwards_query=True, forwards_path=True
    )
    answer = await stranger.get(f"/{plain.code}?b=2")
    assert answer.headers["location"] == "https://example.com/p?a=1#f"
    assert (await stranger.get(f"/{plain.code}/x")).status_code == 404
    answer = await stranger.get(f"/{both.code}/x/%C3%A4?b=2&c=%0d%0a")
    assert answer.headers["location"] == "https://example.com/p/x/%C3%A4?a=1&b=2&c=%0d%0a#f"


async def test_a_forwarded_path_cannot_climb(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link(url="https://example.com/p", forwards_path=True)
    answer = await stranger.get(f"/{link.code}/%2e%2e/secret")
    assert "location" not in answer.headers
    assert answer.status_code == 404


async def test_utm_fields_are_added(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link(utm={"source": "mail", "campaign": "spring"})
    answer = await stranger.get(f"/{link.code}")
    assert answer.headers["location"] == (
        "https://example.com/?utm_campaign=spring&utm_source=mail"
    )


async def test_the_preview_shows_the_target_and_does_not_go_there(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link(url="https://example.com/?x=<script>")
    answer = await stranger.get(f"/{link.code}+")
    assert answer.status_code == 200
    assert "https://example.com/?x=%3Cscript%3E" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["x-robots-tag"] == "noindex"


async def test_a_password_opens_one_link_for_its_bearer(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link(password="open sesame")
    other = await make.link(password="another one")
    form = await stranger.get(f"/{link.code}")
    assert form.status_code == 200
    assert 'type="password"' in form.text
    wrong = await stranger.post(f"/{link.code}", data={"password": "guess"})
    assert wrong.status_code == 401
    right = await stranger.post(f"/{link.code}", data={"password": "open sesame"})
    assert (right.status_code, right.headers["location"]) == (303, f"/{link.code}")
    cookie = right.headers["set-cookie"]
    assert f"Path=/{link.code}" in cookie
    assert "HttpOnly" in cookie
    name, _, value = cookie.partition(";")[0].partition("=")
    opened = await stranger.get(f"/{link.code}", headers={"Cookie": f"{name}={value}"})
    assert (opened.status_code, opened.headers["location"]) == (302, "https://example.com/")
    forged = f"posthouse_link_{other.code}={value}"
    assert (await stranger.get(f"/{other.code}", headers={"Cookie": forged})).status_code == 200


async def test_a_password_can_be_tried_five_times_a_minute(
    stranger: httpx.AsyncClient, make: Maker
) -> None:
    link = await make.link(password="open sesame")
    tried = [
        (await stranger.post(f"/{link.code}", data={"password": f"{n}"})).status_code
        for n in range(7)
    ]
    assert tried == [401] * 5 + [429] * 2


async def test_an_edit_is_seen_at_once_and_so_is_an_end(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = (await client.post("/api/v1/shorten", json={"url": "https://example.com/1"})).json()
    path, follow = f"/api/v1/links/{made['id']}", f"/{made['code']}"
    assert (await stranger.get(follow)).headers["location"] == "https://example.com/1"
    await client.patch(path, json={"url": "https://example.com/2"})
    assert (await stranger.get(follow)).headers["location"] == "https://example.com/2"
    await client.post(f"{path}/disable")
    assert (await stranger.get(follow)).status_code == 410
    await client.post(f"{path}/restore")
    assert (await stranger.get(follow)).status_code == 302
    await client.delete(path)
    assert (await stranger.get(follow)).status_code == 404


async def test_a_slug_that_was_asked_for_too_early_works_once_it_is_made(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    slug = codes.fresh()
    assert (await stranger.get(f"/{slug}")).status_code == 404
    await client.post("/api/v1/links", json={"url": "https://example.com/", "code": slug})
    assert (await stranger.get(f"/{slug}")).status_code == 302


async def test_a_target_that_became_ours_is_508(stranger: httpx.AsyncClient, make: Maker) -> None:
    link = await make.link(url="https://soon.example/")
    hosts = make.runtime.hosts
    hosts.by_host["soon.example"] = hosts.by_host["127.0.0.1"]  # type: ignore[attr-defined]
    try:
        assert (await stranger.get(f"/{link.code}")).status_code == 508
    finally:
        del hosts.by_host["soon.example"]  # type: ignore[attr-defined]
