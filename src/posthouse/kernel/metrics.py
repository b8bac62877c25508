"""Prometheus metrics, counted by hand: about a microsecond a request.

`/metrics` is served on the admin listener only.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class _Tallies(Collector):
    """Counters that hot code keeps as plain integers; read when Prometheus asks."""

    def __init__(self) -> None:
        self.sources: list[tuple[str, str, Callable[[], float]]] = []

    def collect(self) -> Iterable[Metric]:
        for name, documentation, read in self.sources:
            yield CounterMetricFamily(name, documentation, value=read())


@dataclass(slots=True)
class Metrics:
    """The metrics of one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Histogram = field(init=False)
    errors: Counter = field(init=False)
    jobs: Histogram = field(init=False)
    lag: Gauge = field(init=False)
    _tallies: _Tallies = field(init=False)

    def __post_init__(self) -> None:
        self.requests = Histogram(
            "posthouse_http_request_seconds",
            "Time to answer API requests.",
            ("method", "route", "status"),
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.errors = Counter(
            "posthouse_problems", "Problems answered, by code.", ("code",), registry=self.registry
        )
        self.jobs = Histogram(
            "posthouse_job_seconds",
            "Time that jobs ran.",
            ("kind", "outcome"),
            buckets=(*_LATENCY_S, 10, 60),
            registry=self.registry,
        )
        self.lag = Gauge(
            "posthouse_loop_lag_seconds", "Lateness of the event loop.", registry=self.registry
        )
        self._tallies = _Tallies()
        self.registry.register(self._tallies)

    def tally(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Show a plain integer of hot code as the counter `posthouse_<name>_total`."""
        self._tallies.sources.append((f"posthouse_{name}", documentation, read))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
