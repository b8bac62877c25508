"""Codes and slugs."""

import asyncio
import math
from collections import Counter

import httpx
import pytest

from posthouse.links import codes


def test_fresh_codes_are_seven_characters_without_a_pattern() -> None:
    drawn = [codes.fresh() for _ in range(50_000)]
    assert all(len(code) == 7 for code in drawn)
    assert all(codes.is_code(code) for code in drawn)
    # Chi-square over the 62 characters of each place: 61 degrees of freedom, mean 61, standard
    # deviation sqrt(122); six of them away is once in a thousand million runs.
    for place in range(7):
        counts = Counter(code[place] for code in drawn)
        expected = len(drawn) / 62
        chi_square = sum((counts[one] - expected) ** 2 / expected for one in codes.ALPHABET)
        assert chi_square < 61 + 6 * math.sqrt(122)


@pytest.mark.parametrize("code", ["api", "API", "docs", "livez", "readyz", "app", "metrics"])
async def test_our_own_first_segments_are_taken(client: httpx.AsyncClient, code: str) -> None:
    taken = await client.post("/api/v1/links", json={"url": "https://example.com/", "code": code})
    assert (taken.status_code, taken.json()["code"]) == (409, "code-taken")


@pytest.mark.parametrize("code", ["ab", "a" * 65, "a b", "a/b", "ä bc", "a.b", "", "abc\n"])
async def test_a_slug_of_another_form_is_refused(client: httpx.AsyncClient, code: str) -> None:
    refused = await client.post("/api/v1/links", json={"url": "https://example.com/", "code": code})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "body.code"


async def test_of_64_who_want_one_slug_one_gets_it(client: httpx.AsyncClient) -> None:
    slug = codes.fresh()

    async def ask(number: int) -> int:
        body = {"url": f"https://example.com/{number}", "code": slug}
        return (await client.post("/api/v1/links", json=body)).status_code

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(number)) for number in range(64)]
    assert Counter(task.result() for task in asked) == {201: 1, 409: 63}


async def test_one_slug_may_be_used_on_two_domains(client: httpx.AsyncClient) -> None:
    slug = codes.fresh()
    for domain in ("127.0.0.1", "go.example"):
        body = {"url": f"https://example.com/{domain}", "code": slug, "domain": domain}
        assert (await client.post("/api/v1/links", json=body)).status_code == 201
    here = await client.get(f"/{slug}")
    there = await client.get(f"/{slug}", headers={"Host": "go.example"})
    assert here.headers["location"] == "https://example.com/127.0.0.1"
    assert there.headers["location"] == "https://example.com/go.example"


async def test_a_domain_that_is_not_ours_is_refused(client: httpx.AsyncClient) -> None:
    body = {"url": "https://example.com/", "domain": "elsewhere.example"}
    refused = await client.post("/api/v1/links", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-domain")
