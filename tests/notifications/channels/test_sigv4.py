"""Requests are signed byte for byte as Amazon's own library signs them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore import auth  # pyright: ignore[reportMissingTypeStubs]
from botocore.awsrequest import AWSRequest  # pyright: ignore[reportMissingTypeStubs]
from botocore.credentials import Credentials  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.channels.sigv4 import AwsKey, signed_headers

VALUE = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=20)
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name.lower() not in {"host", "expect", "connection", "transfer-encoding"}
)
SEGMENT = st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,8}", fullmatch=True)
AT = datetime(2026, 11, 26, 12, 0, 5, tzinfo=UTC)


class AtAMoment(auth.SigV4Auth):
    """Botocore's signer at a time of ours; it asks the request for it."""

    def add_auth(self, request: Any) -> None:
        request.context["timestamp"] = AT.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        text = self.string_to_sign(request, canonical)
        self._inject_signature_to_request(request, self.signature(text, request))

    def _modify_request_before_signing(self, request: Any) -> None:
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        if self.credentials.token:
            request.headers["X-Amz-Security-Token"] = self.credentials.token


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.lists(SEGMENT, max_size=4),
    query=st.dictionaries(SEGMENT, VALUE, max_size=4),
    headers=st.dictionaries(NAME, VALUE, max_size=4).filter(
        lambda found: len({name.lower() for name in found}) == len(found)
    ),
    body=st.binary(max_size=50),
    token=st.none() | SEGMENT,
    port=st.sampled_from(["", ":8080"]),
)
def test_it_is_botocores_signature(
    method: str,
    path: list[str],
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
    port: str,
) -> None:
    url = f"https://email.eu-west-1.amazonaws.com{port}/" + "/".join(path)
    url += f"?{urlencode(query, quote_via=quote, safe=chr(126))}" if query else ""
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    signer = AtAMoment(Credentials("AKIA1", "secret", token), "ses", "eu-west-1")
    signer.add_auth(request)
    ours = signed_headers(
        method,
        url,
        {name: value for name, value in headers.items() if name.lower() != "user-agent"},
        body,
        key=AwsKey("AKIA1", "secret", token),
        scope=("eu-west-1", "ses"),
        at=AT,
    )
    assert ours["Authorization"] == request.headers["Authorization"]


def test_a_secret_is_not_shown() -> None:
    assert "secret" not in repr(AwsKey("AKIA1", "secret", "secret"))


@pytest.mark.parametrize("name", ["X-Amz-Date", "Host"])
def test_what_is_signed_is_sent(name: str) -> None:
    sent = signed_headers(
        "GET", "https://a.example/", {}, b"", key=AwsKey("A", "s"), scope=("r", "s"), at=AT
    )
    assert sent[name]
