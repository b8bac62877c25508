"""AWS Signature Version 4: a request is signed with a key of its day, region and service.

Source: AWS General Reference, "Signature Version 4 signing process".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, quote, urlsplit


@dataclass(frozen=True, slots=True)
class AwsKey:
    """Who signs; a `token` belongs to keys that end soon."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: AwsKey,
    scope: tuple[str, str],
    at: datetime,
) -> dict[str, str]:
    """Give the headers to send: those given, when it was signed, and `Authorization`.

    `scope` is region and service; `at` is in UTC. Every header is signed.
    """
    parts = urlsplit(url)
    moment = at.strftime("%Y%m%dT%H%M%SZ")
    region, service = scope
    sent = {**headers, "Host": parts.netloc.rpartition("@")[2], "X-Amz-Date": moment}
    if key.token:
        sent["X-Amz-Security-Token"] = key.token
    canonical = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(canonical))
    request = "\n".join(
        (
            method.upper(),
            quote(parts.path or "/", safe="/~"),
            _query(parts.query),
            *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    place = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(
        ("AWS4-HMAC-SHA256", moment, place, hashlib.sha256(request.encode()).hexdigest())
    )
    signing = f"AWS4{key.secret}".encode()
    for part in (moment[:8], region, service, "aws4_request"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    signature = hmac.digest(signing, to_sign.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key.access_key_id}/{place}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(
        f"{name}={value}"
        for name, value in sorted((quote(n, safe="~"), quote(v, safe="~")) for n, v in pairs)
    )
