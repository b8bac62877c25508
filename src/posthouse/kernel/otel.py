"""OpenTelemetry, only with the extra `otel` and an endpoint: one span for each API request.

Without either nothing is imported and nothing is spent. The redirect is never traced: a span
costs ten times as much as following a link.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class Tracing(Protocol):
    """Wraps work in spans."""

    def span(self, name: str, traceparent: str) -> AbstractContextManager[None]:
        """Measure the block as a span `name` below the caller's `traceparent`."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class NoTracing:
    """Does nothing."""

    def span(self, name: str, traceparent: str) -> AbstractContextManager[None]:
        """Measure nothing."""
        del name, traceparent
        return nullcontext()

    def close(self) -> None:
        """Send nothing."""


@dataclass(frozen=True, slots=True)
class OpenTelemetry:
    """Sends spans by OTLP over HTTP."""

    tracer: "Tracer"
    provider: Any

    @contextmanager
    def span(self, name: str, traceparent: str) -> Generator[None]:
        """Measure the block as a span `name` below the caller's `traceparent`."""
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  an extra
            TraceContextTextMapPropagator,
        )

        above = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        with self.tracer.start_as_current_span(name, context=above):
            yield

    def close(self) -> None:
        """Send what is left."""
        self.provider.shutdown()


def open_tracing(endpoint: str, *, sample: float = 0.01) -> Tracing:
    """Open the exporter, or give what does nothing if there is no endpoint.

    Raises:
        ModuleNotFoundError: there is an endpoint, but the extra `otel` is not installed.
    """
    if not endpoint:
        return NoTracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": "posthouse"}),
        sampler=ParentBased(TraceIdRatioBased(sample)),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    return OpenTelemetry(provider.get_tracer("posthouse"), provider)
