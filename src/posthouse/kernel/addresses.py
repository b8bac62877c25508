"""Whose address it is: the peer's own, unless a proxy that we trust speaks for it."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ProxyTrust:
    """The proxies whose `X-Forwarded-For` counts, as networks such as `10.0.0.0/8`."""

    proxies: Sequence[str] = ()
    _networks: tuple[Network, ...] = field(init=False)

    def __post_init__(self) -> None:
        networks = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in self.proxies)
        object.__setattr__(self, "_networks", networks)

    def client_of(self, scope: Any) -> str:
        """The client's address; empty for a unix socket.

        The header is walked from the right: each trusted proxy vouches for the one before it,
        and the first address that is not trusted is the client. What it wrote itself is ignored.
        """
        peer: str = scope["client"][0] if scope.get("client") else ""
        if not self._networks or not self._trusts(peer):
            return peer
        client = peer
        for hop in reversed(_forwarded_for(scope["headers"])):
            try:
                client = str(ipaddress.ip_address(hop))
            except ValueError:
                break
            if not self._trusts(client):
                break
        return client

    def _trusts(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)


def _forwarded_for(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    joined = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    return [hop.strip() for hop in joined.decode("latin-1").split(",") if hop.strip()]


def is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is out on the internet, also when IPv6 wraps an IPv4 address.

    Wrapped forms: mapped (RFC 4291), 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052).
    """
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
