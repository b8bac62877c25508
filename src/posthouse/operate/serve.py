"""`posthouse serve` and `posthouse worker`: one process each, until they are told to stop."""

import asyncio
import signal
from collections.abc import Callable

import uvicorn
from starlette.responses import Response

from posthouse.app import Application
from posthouse.kernel import logs
from posthouse.kernel.edge import Receive, Scope, Send
from posthouse.kernel.metrics import Metrics
from posthouse.kernel.server import make_server, run_loop, settle, watch
from posthouse.kernel.supervise import Loop, supervise
from posthouse.runtime import open_runtime
from posthouse.settings import Settings
from posthouse.worker import work

_LAG_S = 1.0
_END = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings) -> int:
    """Run the HTTP process; give its exit code."""
    logs.configure(settings.log_level)
    return run_loop(_serve(settings))


async def _serve(settings: Settings) -> int:
    application = Application(lambda: open_runtime(settings))
    drain = asyncio.Event()
    server = make_server(
        application,
        host=settings.host,
        port=settings.port,
        drain=drain,
        grace_s=settings.stop_grace_s,
    )

    async def announce_drain() -> None:
        await drain.wait()
        if application.composed is not None:
            application.composed.health.drain.set()
        await asyncio.Event().wait()

    def metrics() -> Metrics | None:
        return application.runtime.parts.metrics if application.runtime else None

    loops = [Loop("server.watch", watch), Loop("server.drain", announce_drain)]
    if settings.admin_port:
        loops.append(Loop("admin", lambda: _admin(settings, metrics)))
        loops.append(Loop("lag", lambda: _measure_lag(metrics)))
    async with supervise(loops):
        await server.serve()
    return 0 if server.started else 1


async def _admin(settings: Settings, metrics: Callable[[], Metrics | None]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = metrics() if scope["path"] == "/metrics" else None
        response = (
            Response(found.render(), media_type="text/plain; version=0.0.4")
            if found
            else Response("metrics are at /metrics\n", 404)
        )
        await response(scope, receive, send)

    config = uvicorn.Config(
        app,
        host=settings.admin_host,
        port=settings.admin_port,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    admin = uvicorn.Server(config)
    admin.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    # `serve` would take the signals of the main server.
    await admin._serve()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


async def _measure_lag(metrics: Callable[[], Metrics | None]) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        before = clock()
        await asyncio.sleep(_LAG_S)
        found = metrics()
        if found is not None:
            found.lag.set(max(0.0, clock() - before - _LAG_S))


def run_worker(settings: Settings) -> int:
    """Run the worker process; give its exit code."""
    logs.configure(settings.log_level)
    return run_loop(_work(settings))


async def _work(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        for number in _END:
            loop.remove_signal_handler(number)  # the next one ends us at once

    for number in _END:
        loop.add_signal_handler(number, end)
    async with open_runtime(settings) as runtime:
        settle()
        await work(runtime, stop)
    return 0
