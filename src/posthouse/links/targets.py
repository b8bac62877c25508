"""Where links may lead: parsed as browsers parse, http and https only, out on the internet.

Source: WHATWG URL Standard, by the parser `ada`.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

import ada_url

from posthouse.kernel.addresses import is_public
from posthouse.links.errors import (
    UrlBlockedError,
    UrlInvalidError,
    UrlPrivateError,
    UrlSchemeError,
    UrlSelfReferenceError,
    UrlTooLongError,
    UrlUserinfoError,
)

MAX_BYTES = 8192
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet")


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What is refused; hosts are lower case without port."""

    own_hosts: Collection[str]
    blocked_hosts: Collection[str] = ()
    allows_private: bool = False

    def normalise(self, url: str) -> str:
        """Give the URL as browsers would write it: punycode host, no default port.

        Raises:
            UrlSchemeError: not http or https, or no scheme at all.
            UrlInvalidError: not a URL, or with control characters in it.
            UrlUserinfoError: with a user name or password.
            UrlTooLongError: more than 8 KiB.
            UrlSelfReferenceError: it leads to one of our own hosts.
            UrlPrivateError: it leads into a private network.
            UrlBlockedError: its host, or a domain above it, is blocked.
        """
        parsed = _parse(url)
        if parsed.username or parsed.password:
            raise UrlUserinfoError
        if len(parsed.href.encode()) > MAX_BYTES:
            raise UrlTooLongError
        host = parsed.hostname.rstrip(".")
        if not host:
            raise UrlInvalidError
        if host in self.own_hosts:
            raise UrlSelfReferenceError
        if not self.allows_private and is_private_host(host):
            raise UrlPrivateError
        if any(host == blocked or host.endswith("." + blocked) for blocked in self.blocked_hosts):
            raise UrlBlockedError
        return parsed.href


def _parse(url: str) -> ada_url.URL:
    stripped = url.strip(" ")
    try:
        parsed = ada_url.URL(stripped)
    except ValueError as error:
        scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", stripped)
        if scheme and scheme[0].lower() in {"http:", "https:"}:
            raise UrlInvalidError from error
        raise UrlSchemeError from error
    if parsed.protocol not in {"http:", "https:"}:
        raise UrlSchemeError
    if _CONTROL.search(url):
        raise UrlInvalidError("The URL holds control characters.")
    return parsed


def is_private_host(host: str) -> bool:
    """Whether a host is an address that is not public, or a name that is local by custom."""
    try:
        return not is_public(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES) or host == "home.arpa"


def host_of(url: str) -> str:
    """The host of a normalised URL."""
    return ada_url.URL(url).hostname.rstrip(".")


def with_utm(url: str, utm: Mapping[str, str]) -> str:
    """Add UTM fields (`source`, `medium`, …) to the query, in front of the fragment."""
    if not utm:
        return url
    query = "&".join(f"utm_{name}={quote_plus(value)}" for name, value in sorted(utm.items()))
    return with_query(url, query)


def with_query(url: str, query: str) -> str:
    """Add a raw query to a URL's own, in front of the fragment."""
    if not query:
        return url
    base, hash_mark, fragment = url.partition("#")
    joint = "&" if "?" in base else "?"
    return f"{base}{joint}{query}{hash_mark}{fragment}"


def with_path(url: str, rest: str) -> str:
    """Add path segments (already percent-encoded) to the URL's path.

    Segments of dots are refused by the caller, so the result stays below the target's path.
    """
    if not rest:
        return url
    end = min((place for mark in "?#" if (place := url.find(mark)) >= 0), default=len(url))
    return f"{url[:end].rstrip('/')}/{rest}{url[end:]}"
