"""The hosts that are served here, known by heart: each maps to the domain of its codes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from posthouse.links.model import Domain


@dataclass(slots=True)
class HostTable:
    """Host (lower case, no port) to domain; read again every few seconds by `refresh`.

    `by_header` maps spellings of Host headers to the domain's id as a text.
    """

    load: Callable[[], Awaitable[Mapping[str, Domain]]]
    by_host: dict[str, Domain] = field(default_factory=dict[str, Domain])
    by_header: dict[bytes, str] = field(default_factory=dict[bytes, str])

    def serves(self, host: str) -> bool:
        """Whether a host is ours."""
        return host in self.by_host

    def domain_of(self, host: str) -> str | None:
        """The id of the domain whose codes a host shows."""
        domain = self.by_host.get(host)
        return None if domain is None else str(domain.id)

    async def refresh(self) -> None:
        """Read the table again."""
        fresh = dict(await self.load())
        if fresh != self.by_host:
            self.by_host = fresh
            self.by_header = {}

    async def keep_fresh(self, pause_s: float) -> None:
        """Read the table every `pause_s` seconds; for `supervise`."""
        while True:
            await asyncio.sleep(pause_s)
            await self.refresh()
