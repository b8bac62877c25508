"""The hosts that are served here, known by heart: each maps to the domain of its codes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class HostTable:
    """Host (lower case, no port) to domain id; read again every few seconds by `refresh`."""

    load: Callable[[], Awaitable[Mapping[str, str]]]
    by_host: dict[str, str] = field(default_factory=dict[str, str])
    by_header: dict[bytes, str] = field(default_factory=dict[bytes, str])

    def serves(self, host: str) -> bool:
        """Whether a host is ours."""
        return host in self.by_host

    def domain_of(self, host: str) -> str | None:
        """The domain whose codes a host shows."""
        return self.by_host.get(host)

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
