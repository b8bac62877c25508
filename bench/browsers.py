"""Requests as browsers send them: headers that differ, from a fixed seed."""

import random
from collections.abc import Sequence

_SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
    "iPhone; CPU iPhone OS 17_5 like Mac OS X",
)
_SITES = (
    "google.com", "bing.com", "t.co", "facebook.com", "linkedin.com", "reddit.com",
    "news.ycombinator.com", "duckduckgo.com", "youtube.com", "example.org",
)  # fmt: skip
AGENTS = tuple(
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{version}.0.0.0 Safari/537.36"
    for version in range(91, 131)
    for system in _SYSTEMS
)
REFERRERS = tuple(f"https://www.{site}/{path}" for site in _SITES for path in "abcde")


def follows(codes: Sequence[str], *, seed: int = 1) -> list[bytes]:
    """One GET for each code, in random order."""
    draw = random.Random(seed)  # noqa: S311  no secret
    shuffled = list(codes)
    draw.shuffle(shuffled)
    return [
        (
            f"GET /{code} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n"
            f"User-Agent: {draw.choice(AGENTS)}\r\n"
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
            "Accept-Language: en-US,en;q=0.5\r\n"
            "Accept-Encoding: gzip, deflate, br, zstd\r\n"
            f"Referer: {draw.choice(REFERRERS)}\r\n"
            "Connection: keep-alive\r\n\r\n"
        ).encode()
        for code in shuffled
    ]


def call(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    """One call of the API with its key."""
    return (
        f"{method} {path} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: bench/1\r\n"
        "Accept: application/json\r\n"
        f"Authorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
