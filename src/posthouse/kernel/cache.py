"""Valkey: fast, shared and allowed to vanish.

Nothing that was accepted lives only here. A call fails within its time limit, and after a few
failures in a row a breaker answers for a short while without asking, so a dead Valkey costs
microseconds. Callers catch `CacheDownError` and do what they do without a cache.

redis-py's own defaults retry ten times and wait for seconds; they are all turned off here.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from posthouse.kernel.clock import Clock
from posthouse.kernel.together import Together

T = TypeVar("T")


class CacheDownError(Exception):
    """Valkey does not answer; do without it."""


@dataclass(slots=True)
class Breaker:
    """Opens after `failures` failures in a row and lets one call through every `pause_s`."""

    clock: Clock
    failures: int = 3
    pause_s: float = 1.0
    _failed: int = field(default=0, init=False)
    _closed_until: float = field(default=0.0, init=False)

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at present."""
        return self._failed >= self.failures and self.clock.monotonic() < self._closed_until

    def succeeded(self) -> None:
        """Note that a call went through."""
        self._failed = 0

    def failed(self) -> None:
        """Note that a call failed."""
        self._failed += 1
        self._closed_until = self.clock.monotonic() + self.pause_s


@dataclass(frozen=True)
class Script:
    """A Lua script, sent by its digest, or whole when Valkey does not know it."""

    source: str

    @cached_property
    def digest(self) -> str:
        """The name that Valkey knows it by."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


_Call = tuple[Script, list[str], list[Any]]


@dataclass(slots=True)
class Cache:
    """One Valkey: every method raises `CacheDownError` when it is away. Made by `open_cache`."""

    client: Redis
    breaker: Breaker
    _scripts: Together[_Call, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._scripts = Together(self._run_all)

    async def call(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Run any command of redis-py behind the breaker.

        Raises:
            CacheDownError: Valkey is away, hangs or is full.
            ResponseError: the command is wrong, which is our own mistake.
        """
        if self.breaker.is_open:
            raise CacheDownError
        try:
            result = await command(self.client)
        except ResponseError:
            self.breaker.succeeded()
            raise
        except (RedisError, OSError, TimeoutError) as error:
            self.breaker.failed()
            raise CacheDownError from error
        self.breaker.succeeded()
        return result

    async def get(self, key: str) -> bytes | None:
        """Read one value."""
        return cast("bytes | None", await self.call(lambda client: client.get(key)))

    async def set(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Write one value that vanishes after `ttl_s` seconds."""
        await self.call(lambda client: client.set(key, value, ex=ttl_s))

    async def delete(self, *keys: str) -> None:
        """Forget some values."""
        await self.call(lambda client: client.delete(*keys))

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell all who listen to `channel` right now."""
        await self.call(lambda client: client.publish(channel, message))  # pyright: ignore[reportUnknownMemberType]

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script atomically and give what it returns; calls at one time share a pipeline.

        Raises:
            CacheDownError: Valkey is away, hangs or is full.
            ResponseError: the script is wrong, which is our own mistake.
        """
        if self.breaker.is_open:
            raise CacheDownError
        return await self._scripts.ask((script, keys, args))

    async def _run_all(self, calls: Sequence[_Call]) -> Sequence[Any]:
        async def evaluate(client: Redis) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for script, keys, args in calls:
                pipeline.evalsha(script.digest, len(keys), *keys, *args)
            answers = await pipeline.execute(raise_on_error=False)
            for place, (script, keys, args) in enumerate(calls):
                if isinstance(answers[place], NoScriptError):
                    answers[place] = await client.eval(script.source, len(keys), *keys, *args)
            return answers

        return await self.call(evaluate)

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncGenerator[PubSub]:
        """Listen to channels on a connection of its own; it is closed at the end."""
        pubsub = self.client.pubsub(ignore_subscribe_messages=True)  # pyright: ignore[reportUnknownMemberType]
        try:
            await self.call(lambda _: pubsub.subscribe(*channels))
            yield pubsub
        finally:
            await pubsub.aclose()

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose(close_connection_pool=True)


def open_cache(url: str, clock: Clock, *, connections: int = 16) -> Cache:
    """Make a client; it connects at the first call, so a dead Valkey does not stop a start."""
    pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=connections,
        timeout=0.5,
        socket_connect_timeout=0.2,
        socket_timeout=0.3,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
    return Cache(Redis(connection_pool=pool), Breaker(clock))
