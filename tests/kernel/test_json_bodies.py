"""Which bodies are JSON: the published suite decides."""

from pathlib import Path

import httpx
import pytest

from posthouse.kernel import strictjson
from posthouse.kernel.errors import MalformedJsonError

SUITE = Path(__file__).parent.parent / "corpora" / "jsontestsuite" / "test_parsing"
CASES = sorted(SUITE.glob("*.json"))
# Valid JSON, but a name given twice means something else to each reader (RFC 7493 section 2.3).
TWICE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
async def test_a_body_is_read_as_the_suite_wants(client: httpx.AsyncClient, case: Path) -> None:
    answer = await client.post(
        "/api/v1/links", content=case.read_bytes(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}, answer.text
    is_malformed = answer.status_code == 400
    if case.name.startswith("y_") and case.name not in TWICE:
        assert not is_malformed
    if (case.name.startswith("n_") and case.stat().st_size > 0) or case.name in TWICE:
        assert is_malformed
        assert answer.json()["code"] == "malformed-json"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"NaN",
        b"-Infinity",
        '{"url": 1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"url": "x"}',
        b'{"a": 1, "a": 2}',
        b"1" * 5000,
        b"\xff",
    ],
)
def test_what_is_not_plain_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        strictjson.parse(body)


def test_64_levels_and_brackets_in_strings_are_fine() -> None:
    assert strictjson.parse(b"[" * 64 + b"]" * 64)
    assert strictjson.parse(b'["' + b"[" * 500 + b'\\"{"]')


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
)
async def test_another_media_type_is_415(client: httpx.AsyncClient, media_type: str) -> None:
    answer = await client.post("/api/v1/links", content=b"{}", headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")


async def test_a_body_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/links",
        content=b" " * 1_048_577,
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
