"""Where links may lead."""

import httpx
import pytest

from posthouse.links.errors import TargetRefusedError
from posthouse.links.targets import TargetPolicy, with_path, with_query, with_utm

POLICY = TargetPolicy(own_hosts={"go.example", "127.0.0.1"}, blocked_hosts=["evil.example"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/a b", "https://example.com/a%20b"),
        ("http:\\\\example.com\\x", "http://example.com/x"),
        ("https://münchen.example/straße", "https://xn--mnchen-3ya.example/stra%C3%9Fe"),
        ("https://example.com/?q=\"<>'", "https://example.com/?q=%22%3C%3E%27"),
        ("  https://example.com/  ", "https://example.com/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
    ],
)
def test_a_target_is_kept_as_browsers_would_write_it(given: str, kept: str) -> None:
    assert POLICY.normalise(given) == kept


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("javascript:alert(1)", "url-scheme-not-allowed"),
        ("java\tscript:alert(1)", "url-scheme-not-allowed"),
        ("data:text/html,<script>", "url-scheme-not-allowed"),
        ("vbscript:x", "url-scheme-not-allowed"),
        ("file:///etc/passwd", "url-scheme-not-allowed"),
        ("ftp://example.com/", "url-scheme-not-allowed"),
        ("//evil.example", "url-scheme-not-allowed"),
        ("\\\\evil.example", "url-scheme-not-allowed"),
        ("example.com", "url-scheme-not-allowed"),
        ("", "url-scheme-not-allowed"),
        ("http://", "url-invalid"),
        ("https://exa mple.com/", "url-invalid"),
        ("https://example.com/\r\nSet-Cookie: a=b", "url-invalid"),
        ("https://example.com/\x00", "url-invalid"),
        ("https://user:pw@example.com/", "url-userinfo"),
        ("https://user@example.com/", "url-userinfo"),
        ("https://example.com/" + "a" * 8192, "url-too-long"),
        ("https://GO.example/x", "url-self-reference"),
        ("https://go.example.:8443/x", "url-self-reference"),
        ("https://%67o.example/x", "url-self-reference"),
        ("http://127.0.0.1:8000/abc", "url-self-reference"),
        ("http://0x7f.1/", "url-self-reference"),
        ("http://10.0.0.1/", "url-private-target"),
        ("http://192.168.1.1/", "url-private-target"),
        ("http://169.254.169.254/latest/meta-data/", "url-private-target"),
        ("http://[::1]/", "url-private-target"),
        ("http://[::ffff:10.0.0.1]/", "url-private-target"),
        ("http://[64:ff9b::a00:1]/", "url-private-target"),
        ("http://[2002:a00:1::]/", "url-private-target"),
        ("http://2130706434/", "url-private-target"),
        ("http://0.0.0.0/", "url-private-target"),
        ("http://localhost/", "url-private-target"),
        ("http://printer.local/", "url-private-target"),
        ("http://intranet/", "url-private-target"),
        ("http://evil.example/", "url-blocked"),
        ("http://www.evil.example/", "url-blocked"),
    ],
)
def test_a_target_that_could_harm_is_refused(url: str, code: str) -> None:
    with pytest.raises(TargetRefusedError) as refused:
        POLICY.normalise(url)
    assert refused.value.code == code
    assert refused.value.fields[0].field == "body.url"


def test_private_targets_can_be_allowed() -> None:
    policy = TargetPolicy(own_hosts=(), allows_private=True)
    assert policy.normalise("http://10.0.0.1/") == "http://10.0.0.1/"


def test_query_path_and_utm_are_added_in_their_places() -> None:
    assert with_query("https://e.com/p?a=1#f", "b=2") == "https://e.com/p?a=1&b=2#f"
    assert with_path("https://e.com/p?a=1#f", "x/y") == "https://e.com/p/x/y?a=1#f"
    assert with_path("https://e.com/", "x") == "https://e.com/x"
    utm = {"source": "mail & more", "campaign": "spring"}
    wanted = "https://e.com/?utm_campaign=spring&utm_source=mail+%26+more"
    assert with_utm("https://e.com/", utm) == wanted


async def test_a_refused_target_changes_nothing_and_names_the_field(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.post("/api/v1/shorten", json={"url": "javascript:alert(1)"})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["code"] == "url-scheme-not-allowed"
    assert problem["errors"][0]["field"] == "body.url"
    assert (await client.get("/api/v1/links")).json()["items"] == []
