"""Composes the HTTP process: the redirect in front, the guarded API behind it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from posthouse.kernel.cors import with_cors
from posthouse.kernel.edge import App, Edge, Receive, Scope, Send
from posthouse.kernel.handlers import install_handlers
from posthouse.kernel.health import Health
from posthouse.kernel.openapi import build_openapi, docs_page
from posthouse.kernel.routing import Gate, Index, Routes
from posthouse.kernel.server import settle
from posthouse.kernel.signing import Signer
from posthouse.kernel.supervise import supervise
from posthouse.migrations import head
from posthouse.runtime import Runtime

_OURS = frozenset({"api", "app", "docs", ".well-known", "-", ""})
_PROBES = frozenset({"livez", "readyz"})
AtOnce = Callable[[bytes, Scope], bytes | None]
Versions = Mapping[str, Sequence[Routes]]


def create_api(runtime: Runtime, further: Versions | None = None) -> FastAPI:
    """The FastAPI application; `further` maps versions after v1 to their routes."""
    api = FastAPI(
        title="Posthouse",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    v1 = [routes for one, _ in runtime.built for routes in one.routes]
    for version, listed in {"v1": v1, **(further or {})}.items():
        for routes in listed:
            routes.install(api.router, f"/api/{version}")
    for one, _ in runtime.built:
        for routes in one.bare_routes:
            routes.install(api.router, "")
    api.router.middleware_stack = Index(api.router)
    api.state.gate = Gate(
        authenticator=runtime.authenticator,
        limiter=runtime.parts.limiter,
        db=runtime.parts.db,
        rates=runtime.rates,
        trust=runtime.parts.trust,
        tracing=runtime.parts.tracing,
    )
    api.state.services = runtime.services
    api.state.cursor_signer = Signer.for_purpose(runtime.settings.secret, "cursor")
    install_handlers(api)
    slices = [one for one, _ in runtime.built]
    api.openapi = lambda: build_openapi(api, slices)  # type: ignore[method-assign]
    if runtime.settings.docs:
        docs_page(api)
    return api


def _never(target: bytes, scope: Scope) -> bytes | None:
    """The short cut of a front that has none."""
    del target, scope
    return None


@dataclass(slots=True)
class Composed:
    """The parts that `Application` chooses between; `at_once` is the front's short cut."""

    front: App
    guarded: App
    health: Health
    at_once: AtOnce


def compose(runtime: Runtime, further: Versions | None = None) -> Composed:
    """Put the parts of one process together."""
    parts = runtime.parts
    edge = Edge(
        app=_compressed(create_api(runtime, further)),
        hosts=runtime.hosts,
        limits=parts.edge_limits,
        clock=parts.clock,
        metrics=parts.metrics,
        versions=frozenset({"v1", *(further or {})}),
    )
    front = runtime.front
    return Composed(
        front=front,
        guarded=with_cors(edge, runtime.settings.cors_origins),
        health=Health(parts.db, parts.cache, parts.data_dir, head()),
        at_once=getattr(front, "answer_at_once", _never),
    )


def _compressed(api: App) -> App:
    """Compress the API's answers; what is below `/-/` are files, and parts of them."""
    zipped = GZipMiddleware(api, minimum_size=1024, compresslevel=6)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_file = scope.get("path", "").startswith("/-/")
        await (api if is_file else zipped)(scope, receive, send)

    return choose


def create_app(runtime: Runtime, further: Versions | None = None) -> App:
    """The application on an open runtime, without its background loops: what tests call."""
    return Application(open_runtime=None, composed=compose(runtime, further))


@dataclass(slots=True)
class Application:
    """The ASGI application of a process: opens its runtime at startup, closes it at shutdown.

    With `composed` handed in, somebody else keeps the runtime, and there is nothing to open.
    """

    open_runtime: Callable[[], AbstractAsyncContextManager[Runtime]] | None
    composed: Composed | None = None
    runtime: Runtime | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    def answer_at_once(self, target: bytes, scope: Scope) -> bytes | None:
        """Answer a request that waits for nothing; see `kernel.server`."""
        return None if self.composed is None else self.composed.at_once(target, scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one life of the process."""
        composed = self.composed
        if scope["type"] == "http" and composed is not None:
            first = scope["path"][1:].partition("/")[0]
            if first in _OURS:
                await composed.guarded(scope, receive, send)
            elif first in _PROBES:
                await composed.health(scope, receive, send)
            else:
                await composed.front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if self.open_runtime is not None:
                self.runtime = await self._stack.enter_async_context(self.open_runtime())
                await self._stack.enter_async_context(supervise(self.runtime.loops))
                self.composed = compose(self.runtime)
                settle()
        except Exception as error:  # noqa: BLE001  uvicorn reports it and ends the process
            await self._stack.aclose()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})
