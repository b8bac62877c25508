"""Token bucket by GCRA: a steady rate and a burst, decided atomically in Valkey.

A bucket of `burst` tokens refills at `rate` per second. GCRA keeps one number, the theoretical
arrival time of the next request that conforms, instead of a counter and a timer.
Source: ITU-T I.371 (GCRA), IETF draft-ietf-httpapi-ratelimit-headers (`RateLimit` fields).

While Valkey is away each process keeps its own buckets, with the burst and rate divided by the
number of processes: neither open nor closed. What must not be guessed (logins) counts in
Postgres instead, see `StrictLimiter`.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar

from posthouse.kernel.cache import Cache, CacheDownError, Script
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.errors import Kind, PosthouseError

# Times in microseconds from Valkey's own clock, so that processes need not agree.
_GCRA = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local ahead = due - now
if ahead > interval * (burst - 1) then
  return {0, 0, ahead - interval * (burst - 1), ahead}
end
redis.call('SET', KEYS[1], string.format('%.0f', due + interval),
  'PX', math.ceil((ahead + interval) / 1000))
return {1, math.floor(burst - 1 - ahead / interval), 0, ahead + interval}
""")


# A microsecond, or the sum of floats refuses the last token of a burst.
_SLACK_S = 1e-6


class RateLimitedError(PosthouseError):
    """The caller's bucket is empty."""

    kind: ClassVar[Kind] = Kind.RATE_LIMITED
    code: ClassVar[str] = "rate-limited"
    title: ClassVar[str] = "Too many requests"


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` tokens a second into a bucket of `burst`; `name` is the route class."""

    name: str
    per_s: float
    burst: int

    @property
    def interval_s(self) -> float:
        """Seconds in which one token comes back."""
        return 1 / self.per_s

    @property
    def window_s(self) -> int:
        """Seconds in which an empty bucket is full again."""
        return max(1, round(self.burst * self.interval_s))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter decided about one request."""

    rate: Rate
    is_allowed: bool
    remaining: int
    retry_after_s: float
    reset_s: float

    def headers(self) -> dict[str, str]:
        """The `RateLimit` and `RateLimit-Policy` fields."""
        policy = f'"{self.rate.name}"'
        return {
            "RateLimit-Policy": f"{policy};q={self.rate.burst};w={self.rate.window_s}",
            "RateLimit": f"{policy};r={self.remaining};t={max(0, round(self.reset_s))}",
        }

    def require(self) -> None:
        """Go on if the request conforms.

        Raises:
            RateLimitedError: it does not; the error says when it will.
        """
        if not self.is_allowed:
            raise RateLimitedError(retry_after_s=self.retry_after_s, headers=self.headers())


@dataclass(slots=True)
class LocalBuckets:
    """The same GCRA in this process: at most `capacity` buckets, the longest unused go first."""

    clock: Clock
    capacity: int = 50_000
    _due: OrderedDict[str, float] = field(default_factory=OrderedDict[str, float], init=False)

    def take(self, key: str, rate: Rate) -> Verdict:
        """Take one token of `key`."""
        now = self.clock.monotonic()
        ahead = max(self._due.get(key, now), now) - now
        excess = ahead - rate.interval_s * (rate.burst - 1)
        if excess > _SLACK_S:
            return Verdict(rate, False, 0, excess, ahead)
        self._due[key] = now + ahead + rate.interval_s
        self._due.move_to_end(key)
        if len(self._due) > self.capacity:
            self._due.popitem(last=False)
        remaining = int(rate.burst - 1 - ahead / rate.interval_s + _SLACK_S)
        return Verdict(rate, True, remaining, 0, ahead + rate.interval_s)


async def _take_in_valkey(cache: Cache, name: str, rate: Rate) -> Verdict:
    allowed, remaining, wait_us, reset_us = await cache.run(
        _GCRA, [name], [f"{rate.interval_s * 1e6:.0f}", rate.burst]
    )
    return Verdict(rate, bool(allowed), int(remaining), wait_us / 1e6, reset_us / 1e6)


@dataclass(slots=True)
class Limiter:
    """Takes tokens in Valkey, or locally while Valkey is away."""

    cache: Cache
    clock: Clock
    processes: int = 1
    local: LocalBuckets = field(init=False)

    def __post_init__(self) -> None:
        self.local = LocalBuckets(self.clock)

    async def take(self, key: str, rate: Rate) -> Verdict:
        """Take one token of `key` in the class of `rate`."""
        name = f"rate:{rate.name}:{key}"
        try:
            return await _take_in_valkey(self.cache, name, rate)
        except CacheDownError:
            share = Rate(
                rate.name, rate.per_s / self.processes, max(1, rate.burst // self.processes)
            )
            return self.local.take(name, share)


_COUNT_STRICTLY = """
INSERT INTO limit_counters AS c (key, window_start, used)
VALUES ($1, to_timestamp(floor(extract(epoch FROM now()) / $2) * $2), 1)
ON CONFLICT (key, window_start) DO UPDATE SET used = c.used + 1
RETURNING used,
  extract(epoch FROM window_start + make_interval(secs => $2) - now())::float8 AS left_s
"""


@dataclass(slots=True)
class StrictLimiter:
    """For what must fail closed: without Valkey it counts in Postgres, without both it refuses.

    The fallback is a fixed window of the same length and size as the bucket.
    """

    cache: Cache
    db: Database

    async def take(self, key: str, rate: Rate) -> Verdict:
        """Take one token of `key`; an error of the database is the caller's answer.

        Raises:
            DatabaseUnavailableError: neither Valkey nor Postgres can count.
        """
        name = f"rate:{rate.name}:{key}"
        try:
            return await _take_in_valkey(self.cache, name, rate)
        except CacheDownError:
            async with self.db.read() as connection:
                row = await connection.fetchrow(_COUNT_STRICTLY, name, float(rate.window_s))
            used, left_s = (row["used"], row["left_s"]) if row else (rate.burst + 1, rate.window_s)
            return Verdict(rate, used <= rate.burst, max(0, rate.burst - used), left_s, left_s)


def network_of(address: str) -> str:
    """The bucket of an address: itself for IPv4, its /64 for IPv6 (one customer's network)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
