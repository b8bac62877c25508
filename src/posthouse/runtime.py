"""Opens all that a process works with, and closes it in reverse order."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.auth import Authenticator
from posthouse.kernel.cache import open_cache
from posthouse.kernel.clock import Clock, SystemClock
from posthouse.kernel.db import DatabaseLimits, open_database
from posthouse.kernel.edge import App, EdgeLimits, Hosts
from posthouse.kernel.events import Listener, Relay
from posthouse.kernel.jobs import CronKind, JobKind, PgJobQueue
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.otel import open_tracing
from posthouse.kernel.passwords import Passwords
from posthouse.kernel.ratelimit import Limiter, Rate, StrictLimiter
from posthouse.kernel.signing import check_secret
from posthouse.kernel.supervise import Loop
from posthouse.settings import Settings
from posthouse.slices import SLICES


@dataclass(frozen=True, slots=True)
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
        """The one slice that knows our hosts."""
        (found,) = (built.hosts for _, built in self.built if built.hosts)
        return found

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
    settings: Settings, *, clock: Clock | None = None, slices: tuple[Slice, ...] = SLICES
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
            built.append((one, own))
        listeners = _listeners(built)
        relay = Relay(db, parts.jobs, listeners)
        yield Runtime(settings, parts, tuple(built), doors, relay)


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
