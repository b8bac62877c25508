"""What a slice plugs into the application: one explicit `Slice`, no magic."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.auth import Authenticator
from posthouse.kernel.blobs import Blobs
from posthouse.kernel.cache import Cache
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.edge import App, EdgeLimits, Hosts
from posthouse.kernel.events import Event, Listener
from posthouse.kernel.jobs import CronKind, JobKind, JobQueue
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.otel import Tracing
from posthouse.kernel.passwords import Passwords
from posthouse.kernel.ratelimit import Limiter, Rate, StrictLimiter
from posthouse.kernel.routing import Routes
from posthouse.kernel.sandbox import Sandbox
from posthouse.kernel.supervise import Loop
from posthouse.kernel.work import WorkKind, WorkKinds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the kernel hands to every slice."""

    db: Database
    cache: Cache
    clock: Clock
    jobs: JobQueue
    limiter: Limiter
    strict_limiter: StrictLimiter
    trust: ProxyTrust
    passwords: Passwords
    metrics: Metrics
    tracing: Tracing
    edge_limits: EdgeLimits
    work_kinds: WorkKinds
    sandbox: Sandbox
    blobs: Blobs
    secret: str = field(repr=False)
    public_url: str
    data_dir: str

    settings: Any = None
    """The settings of the slice that is being built."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The front doors of the slices below, by their class."""

    known: dict[type, object] = field(default_factory=dict[type, object])

    def get(self, kind: type[T]) -> T:
        """Give the door of a slice below."""
        return cast("T", self.known[kind])


@dataclass(frozen=True, slots=True)
class Built:
    """A slice that has its collaborators; every part is optional.

    `services` are what routes ask for by class; `more_hosts` are served beside those of `hosts`;
    `loops` run in each HTTP process and `worker_loops` in each worker; `front` answers the root, in
    front of the API; `work` are the kinds of task that it runs; `drain` ends what runs in a worker
    that stops; `on_close` runs when the process stops, in reverse order of building.
    """

    services: Mapping[type, object] = field(default_factory=dict[type, object])
    door: object | None = None
    authenticator: Authenticator | None = None
    hosts: Hosts | None = None
    more_hosts: Sequence[str] = ()
    front: App | None = None
    jobs: Sequence[JobKind] = ()
    crons: Sequence[CronKind] = ()
    listeners: Sequence[Listener] = ()
    loops: Sequence[Loop] = ()
    worker_loops: Sequence[Loop] = ()
    work: Sequence[WorkKind] = ()
    drain: Callable[[], Awaitable[None]] | None = None
    on_close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: its name, how it is built, and what it adds to the API, the CLI and the worker.

    `settings` names its block in the settings; `rates` are its own rate classes; `commands` is
    the module path of its Typer app, imported only by the CLI. `sandboxed` are the modules whose
    functions run in children (`kernel.sandbox`). `bare_routes` lie outside of the API's versions,
    below `/-/`.
    """

    name: str
    build: Callable[[Parts, Doors], Awaitable[Built]]
    routes: Sequence[Routes] = ()
    bare_routes: Sequence[Routes] = ()
    rates: Callable[[Any], Sequence[Rate]] = lambda _: ()
    events: Sequence[type[Event]] = ()
    commands: str | None = None
    sandboxed: Sequence[str] = ()
    openapi: Callable[[dict[str, Any]], None] = lambda _: None
