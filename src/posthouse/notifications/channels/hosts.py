"""Where a provider may lie: its host is chosen by a workspace's admin, who may be anybody.

A name is resolved here, each of its addresses must be out on the internet, and the connection goes
to an address that was checked. An installation of one's own may allow private ones.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.kernel.addresses import is_public
from posthouse.kernel.outbound import Resolve, resolve_by_system


class HostRefusedError(Exception):
    """The host leads into a private network."""


class HostUnknownError(Exception):
    """The name has no address just now."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Resolves the hosts of providers; `allows_private` is for installations of one's own."""

    allows_private: bool = False
    resolve: Resolve = resolve_by_system

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses to connect to, in the order to try them.

        Raises:
            HostRefusedError: one of them is private; one refuses all.
            HostUnknownError: there is none.
        """
        try:
            found = await self.resolve(host, port)
            addresses = [ipaddress.ip_address(one.partition("%")[0]) for one in found]
        except (OSError, UnicodeError, ValueError) as error:
            raise HostUnknownError from error
        if not addresses:
            raise HostUnknownError
        if not self.allows_private and not all(map(is_public, addresses)):
            raise HostRefusedError
        return [str(one) for one in addresses]
