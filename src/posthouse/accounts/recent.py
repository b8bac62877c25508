"""Principals that were found a moment ago, so that a busy caller costs no look-up a request.

At most a second old, counted from before the look-up: what is revoked elsewhere ends within
that second. What is revoked here ends at once, because `forget` drops everything and spoils the
look-ups that are still under way.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock

REMEMBERED_S = 1.0


@dataclass(slots=True)
class Recent:
    """Keeps up to `capacity` principals, by the digest of their key or token."""

    clock: Clock
    capacity: int = 10_000
    _known: OrderedDict[Hashable, tuple[float, Principal]] = field(
        default_factory=OrderedDict[Hashable, tuple[float, Principal]], init=False
    )
    _turns: WeakValueDictionary[Hashable, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[Hashable, asyncio.Lock], init=False
    )
    _forgotten: int = field(default=0, init=False)

    async def get(self, key: Hashable, find: Callable[[], Awaitable[Principal]]) -> Principal:
        """Give the principal of `key`, found by `find` if it is not known; one look-up at a time.

        Whatever `find` raises is passed on and not remembered.
        """
        known = self._fresh(key)
        if known is not None:
            return known
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
        async with turn:
            known = self._fresh(key)
            if known is not None:
                return known
            asked_at, forgotten = self.clock.monotonic(), self._forgotten
            principal = await find()
            if forgotten == self._forgotten:
                self._keep(key, asked_at, principal)
            return principal

    async def forget(self) -> None:
        """Drop all: something was revoked, and looking up the others again costs little."""
        self._forgotten += 1
        self._known.clear()

    def _fresh(self, key: Hashable) -> Principal | None:
        known = self._known.get(key)
        return known[1] if known is not None and self.clock.monotonic() < known[0] else None

    def _keep(self, key: Hashable, asked_at: float, principal: Principal) -> None:
        self._known[key] = (asked_at + REMEMBERED_S, principal)
        self._known.move_to_end(key)
        if len(self._known) > self.capacity:
            self._known.popitem(last=False)
