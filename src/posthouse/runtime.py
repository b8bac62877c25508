"""Opens all that a process works with, and closes it in reverse order."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.auth import Authenticator
from posthouse.kernel.blobs import Blobs, ObjectBlobs
from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import Clock, SystemClock
from posthouse.kernel.db import DatabaseLimits, open_database
from posthouse.kernel.edge import AllHosts, App, EdgeLimits, Hosts
from posthouse.kernel.events import Listener, Relay
from posthouse.kernel.jobs import CronKind, JobKind, PgJobQueue
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.otel import open_tracing
from posthouse.kernel.passwords import Passwords
from posthouse.kernel.ratelimit import Limiter, Rate, StrictLimiter
from posthouse.kernel.sandbox import Sandbox
from posthouse.kernel.signing import check_secret
from posthouse.kernel.supervise import Loop
from posthouse.kernel.work import WorkKinds
from posthouse.settings import Settings
from posthouse.slices import SLICES


# Its repr would be that of everything there is, and asyncio's own debugging asks for it.
@dataclass(frozen=True, slots=True, repr=False)
class Runtime:
    """All collaborators of one process, and the slices built on them."""

    settings: Settings
    parts: Parts
    built: tuple[tuple[Slice, Built], ...]
    doors: Doors
    relay: Relay

    @property
    def services(self) -> dict[type, object]:
        """Every slice's services by their class."""
        return {kind: one for _, built in self.built for kind, one in built.services.items()}

    @property
    def authenticator(self) -> Authenticator:
        """The one slice that knows callers."""
        (found,) = (built.authenticator for _, built in self.built if built.authenticator)
        return found

    @property
    def hosts(self) -> Hosts:
        """The hosts of the one slice that knows them, and those that others name."""
        (found,) = (built.hosts for _, built in self.built if built.hosts)
        more = frozenset(host for _, built in self.built for host in built.more_hosts)
        return AllHosts(found, more) if more else found

    @property
    def front(self) -> App:
        """The one slice that owns the root."""
        (found,) = (built.front for _, built in self.built if built.front)
        return found

    @property
    def rates(self) -> dict[str, Rate]:
        """All rate classes by name."""
        settings = self.settings
        own = [
            Rate("default", settings.rate_per_s, settings.rate_burst),
            Rate("anonymous", 10 / 60, 10),
        ]
        of_slices = [
            rate for one, _ in self.built for rate in one.rates(getattr(settings, one.name))
        ]
        return {rate.name: rate for rate in (*own, *of_slices)}

    @property
    def loops(self) -> list[Loop]:
        """What runs in each HTTP process."""
        return [loop for _, built in self.built for loop in built.loops]

    @property
    def worker_loops(self) -> list[Loop]:
        """What runs in each worker."""
        return [loop for _, built in self.built for loop in built.worker_loops]

    @property
    def drains(self) -> list[Callable[[], Awaitable[None]]]:
        """What ends the work of a worker that stops."""
        return [built.drain for _, built in self.built if built.drain is not None]

    @property
    def job_kinds(self) -> list[JobKind]:
        """What workers can run."""
        jobs = [kind for _, built in self.built for kind in built.jobs]
        return jobs + [listener.job_kind() for listener in self.relay.listeners]

    @property
    def crons(self) -> list[CronKind]:
        """What workers run by the clock."""
        return [cron for _, built in self.built for cron in built.crons]


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    clock: Clock | None = None,
    blobs: Blobs | None = None,
    slices: tuple[Slice, ...] = SLICES,
) -> AsyncGenerator[Runtime]:
    """Open everything; what is open already is closed again if a later part fails.

    Raises:
        WeakSecretError: the secret can be guessed.
        DatabaseUnavailableError: Postgres does not answer.
    """
    check_secret(settings.secret)
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        db = await open_database(
            settings.database_url, DatabaseLimits(connections=settings.connections)
        )
        stack.push_async_callback(db.close)
        cache = open_cache(settings.valkey_url, clock)
        stack.push_async_callback(cache.close)
        tracing = open_tracing(settings.otel_endpoint, sample=settings.otel_sample)
        stack.callback(tracing.close)
        passwords = Passwords(settings.hash_threads)
        stack.callback(passwords.close)
        sandbox = Sandbox(
            preload=tuple(module for one in slices for module in one.sandboxed),
            at_once=settings.tasks.heavy_at_once or os.cpu_count() or 1,
        )
        stack.callback(sandbox.close)
        parts = Parts(
            db=db,
            cache=cache,
            clock=clock,
            jobs=PgJobQueue(),
            limiter=Limiter(cache, clock, settings.http_processes),
            strict_limiter=StrictLimiter(cache, db),
            trust=ProxyTrust(settings.trusted_proxies),
            passwords=passwords,
            metrics=Metrics(),
            tracing=tracing,
            edge_limits=EdgeLimits(body_bytes=settings.body_bytes),
            work_kinds=WorkKinds(),
            sandbox=sandbox,
            blobs=blobs or ObjectBlobs(settings.blobs_url or _own_folder(settings)),
            secret=settings.secret,
            public_url=settings.public_url,
            data_dir=str(settings.data),
        )
        built: list[tuple[Slice, Built]] = []
        doors = Doors()
        for one in slices:
            own = await one.build(replace(parts, settings=getattr(settings, one.name)), doors)
            if own.on_close is not None:
                stack.push_async_callback(own.on_close)
            if own.door is not None:
                doors.known[type(own.door)] = own.door
            parts.work_kinds.add(own.work)
            built.append((one, own))
        listeners = _listeners(built)
        relay = Relay(db, parts.jobs, listeners)
        yield Runtime(settings, parts, tuple(built), doors, relay)


def _own_folder(settings: Settings) -> str:
    return (settings.data.absolute() / "blobs").as_uri()


def _listeners(built: list[tuple[Slice, Built]]) -> list[Listener]:
    """All listeners; two of one name would take each other's jobs.

    Raises:
        ValueError: a name is used twice, or an event that nobody announces is listened for.
    """
    listeners = [listener for _, own in built for listener in own.listeners]
    names = [listener.name for listener in listeners]
    if len(set(names)) < len(names):
        raise ValueError(f"two listeners have one name: {sorted(names)}")
    announced = {event.name for one, _ in built for event in one.events}
    for listener in listeners:
        if listener.event not in announced:
            raise ValueError(
                f"{listener.name} listens for {listener.event}, which nobody announces"
            )
    return listeners
