"""Spans reach a collector, under the caller's trace id."""

import asyncio
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from posthouse.app import create_app
from posthouse.runtime import open_runtime
from posthouse.settings import Settings
from tests.conftest import client_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector() -> Generator[tuple[str, list[bytes]]]:
    """A server that takes OTLP over HTTP."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of its parent
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_request_becomes_a_span_of_the_callers_trace(
    settings: Settings, collector: tuple[str, list[bytes]]
) -> None:
    endpoint, received = collector
    traced = settings.model_copy(update={"otel_endpoint": endpoint, "otel_sample": 1.0})
    async with open_runtime(traced) as runtime, client_of(create_app(runtime)) as client:
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        await client.get("/api/v1/links", headers=headers)
        await asyncio.to_thread(runtime.parts.tracing.close)
    assert any(bytes.fromhex(TRACE) in body and b"GET /api/v1/links" in body for body in received)
