"""How a route is declared: what it needs, what it raises, how often it may be called.

An `Endpoint` checks credentials, then the rate limit, then reads the body strictly, and only
then lets FastAPI parse. `Routes` registers each path with and without a trailing slash and puts
the declared errors into OpenAPI.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from typing_extensions import override

from posthouse.kernel import idempotency, strictjson, trace
from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.auth import (
    Authenticator,
    ForbiddenError,
    Principal,
    Scope,
    UnauthenticatedError,
    bearer_of,
)
from posthouse.kernel.db import Database
from posthouse.kernel.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    FieldProblem,
    InternalError,
    InvalidInputError,
    MalformedError,
    MalformedJsonError,
    MediaTypeError,
    MisdirectedError,
    NotAcceptableError,
    NotFoundError,
    OverloadedError,
    PosthouseError,
    StaleError,
    TooLargeError,
)
from posthouse.kernel.otel import Tracing
from posthouse.kernel.problems import declared
from posthouse.kernel.ratelimit import Limiter, Rate, RateLimitedError, Verdict, network_of

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
NOBODY = idempotency.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one endpoint asks of its caller."""

    needs: Scope | None
    is_open: bool = False
    rate: str = "default"
    is_idempotent: bool = False
    reads_json: bool = False
    streams: tuple[str, ...] = ()
    takes_any_query: bool = False
    keeps_key: bool = False
    stream_schema: dict[str, Any] | None = None
    parameters: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """What endpoints check with; one per application, in `app.state.gate`."""

    authenticator: Authenticator
    limiter: Limiter
    db: Database
    rates: dict[str, Rate]
    trust: ProxyTrust
    tracing: Tracing

    async def admit(self, request: Request, policy: Policy) -> Verdict:
        """Find the caller, check its right and take one token of its bucket.

        Raises:
            UnauthenticatedError: credentials are needed and missing or wrong.
            ForbiddenError: the caller lacks the right.
            RateLimitedError: the bucket is empty.
        """
        bearer = bearer_of(request.headers)
        address = network_of(self.trust.client_of(request.scope))
        principal: Principal | None = None
        if bearer is not None and (policy.needs is not None or policy.is_open):
            principal = await self.authenticator.authenticate(bearer)
        elif policy.needs is not None and not policy.is_open:
            raise UnauthenticatedError
        request.state.principal = principal
        request.state.network = address
        rate = self.rates["anonymous" if policy.is_open and principal is None else policy.rate]
        verdict = await self.limiter.take(principal.actor if principal else address, rate)
        verdict.require()
        if principal is not None and policy.needs is not None:
            principal.require(policy.needs)
        return verdict


class Endpoint(APIRoute):
    """A route with a policy."""

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        self.policy = policy
        super().__init__(*args, **kwargs)

    @override
    def get_route_handler(self) -> Callable[[Request], Any]:
        """Wrap FastAPI's handler; the order of the steps is the promise of this class."""
        parse_and_run = super().get_route_handler()
        policy = self.policy
        known = _query_names(self.dependant)

        async def handle(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            with gate.tracing.span(f"{request.method} {self.path}", trace.current() or ""):
                return await admit_and_run(gate, request)

        async def admit_and_run(gate: Gate, request: Request) -> Response:
            _require_acceptable(request)
            if not policy.takes_any_query:
                _refuse_unknown_parameters(request, known)
            verdict = await gate.admit(request, policy)
            if policy.reads_json:
                await _read_json(request)
            if policy.streams:
                request.state.meter.is_streamed = True
            key = request.headers.get("idempotency-key")
            if key is not None and policy.is_idempotent:
                response = await idempotency.once(
                    gate.db, request, _owner(request), key, partial(parse_and_run, request)
                )
            else:
                response = await parse_and_run(request)
            response.headers.update(verdict.headers())
            return response

        return handle


def _owner(request: Request) -> idempotency.Owner:
    principal: Principal | None = request.state.principal
    if principal is None:
        return idempotency.Owner(NOBODY, request.state.network)
    return idempotency.Owner(principal.workspace_id, principal.actor)


def _require_acceptable(request: Request) -> None:
    accept = request.headers.get("accept")
    if accept and not any(
        part.split(";")[0].strip().lower() in {"*/*", "application/*", "application/json"}
        or part.strip().lower().startswith(("image/", "text/", "application/problem+json"))
        for part in accept.split(",")
    ):
        raise NotAcceptableError("Accept application/json.")


def _query_names(dependant: Dependant) -> set[str]:
    """The names of all query parameters of a route and its dependencies."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*(_query_names(inner) for inner in dependant.dependencies))


def _refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Refuse a query parameter that the route does not have: it is a misspelt one.

    Raises:
        InvalidInputError: there is one.
    """
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        fields = [
            FieldProblem(f"query.{name}", "unknown-parameter", "not a parameter of this route")
            for name in unknown[:20]
        ]
        takes = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
        raise InvalidInputError(
            f"The query has a parameter that is not known here. {takes}", fields=fields
        )


async def _read_json(request: Request) -> None:
    """Read the body and leave its meaning where FastAPI looks for it.

    Raises:
        MediaTypeError: there is a body, but it is not declared as JSON.
    """
    body = await request.body()
    if not body:
        return
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise MediaTypeError("Send Content-Type: application/json.")
    # Starlette's own cache of json().
    request._json = strictjson.parse(body)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


_ALWAYS: tuple[type[PosthouseError], ...] = (
    MalformedError,
    NotAcceptableError,
    MisdirectedError,
    InvalidInputError,
    RateLimitedError,
    InternalError,
    DatabaseUnavailableError,
    DatabaseBusyError,
    OverloadedError,
)


class Index:
    """Finds the route of a literal path at once; the router tries all others in turn."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._literal = {
            (method, route.path): route
            for route in router.routes
            if isinstance(route, Endpoint) and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        route = self._literal.get((scope.get("method"), scope.get("path")))
        if route is None:
            await self._router.app(scope, receive, send)
            return
        scope |= {
            "router": self._router,
            "route": route,
            "endpoint": route.endpoint,
            "path_params": {},
        }
        await route.handle(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Routes:
    """The JSON routes of one slice."""

    tag: str
    _declared: list[tuple[str, Callable[..., Any], dict[str, Any]]] = field(
        default_factory=list[tuple[str, Callable[..., Any], dict[str, Any]]]
    )

    @classmethod
    def of(cls, tag: str) -> "Routes":
        """Start the routes of a slice, shown under `tag`."""
        return cls(tag)

    @property
    def router(self) -> APIRouter:
        """A router of these routes alone, for tools that want to look at them."""
        router = APIRouter(redirect_slashes=False)
        self.install(router, "")
        return router

    def install(self, router: APIRouter, prefix: str) -> None:
        """Put the routes into a router; one that it includes would be searched twice a request."""
        for path, endpoint, options in self._declared:
            router.add_api_route(prefix + path, endpoint, tags=[self.tag], **options)

    def add(  # noqa: PLR0913  a route's declaration reads as one list
        self,
        method: str,
        path: str,
        *,
        needs: Scope | None,
        is_open: bool = False,
        raises: Sequence[type[PosthouseError]] = (),
        status: int = 200,
        rate: str = "default",
        is_idempotent: bool | None = None,
        reads_json: bool | None = None,
        streams: Sequence[str] = (),
        keeps_key: bool | None = None,
        stream_schema: dict[str, Any] | None = None,
        takes_any_query: bool = False,
        parameters: Sequence[dict[str, Any]] = (),
        **options: Any,
    ) -> Callable[[Callable[..., Awaitable[T]]], Callable[..., Awaitable[T]]]:
        """Declare a route; `needs=None` without `is_open` means that anybody may call it.

        `streams` are the media types of a body that the endpoint reads as a stream, and
        `stream_schema` is what is in it if it is no plain text; with `keeps_key` it honours an
        `Idempotency-Key` by itself. `parameters` are further ones that it reads by itself, in
        OpenAPI's terms; with `takes_any_query` it checks its whole query.
        """
        writes = method in {"POST", "PUT", "PATCH"}
        policy = Policy(
            needs=needs,
            is_open=is_open,
            rate=rate,
            is_idempotent=method == "POST" and not streams
            if is_idempotent is None
            else is_idempotent,
            reads_json=writes and not streams if reads_json is None else reads_json,
            streams=tuple(streams),
            takes_any_query=takes_any_query,
            keeps_key=bool(streams) if keeps_key is None else keeps_key,
            stream_schema=stream_schema,
            parameters=tuple(parameters),
        )

        responses: dict[int | str, Any] = options.pop("responses", {})

        def register(endpoint: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
            for spelling, is_shown in ((path, True), (path.rstrip("/") + "/", False)):
                declaration = {
                    "methods": [method],
                    "status_code": status,
                    "responses": declared(_errors(path, policy, raises)) | responses,
                    "include_in_schema": is_shown,
                    "route_class_override": partial(Endpoint, policy=policy),
                    "openapi_extra": _extra(policy),
                    **options,
                }
                self._declared.append((spelling, endpoint, declaration))
            return endpoint

        return register

    def get(self, path: str, **declaration: Any) -> Callable[[Any], Any]:
        """Declare a GET route."""
        return self.add("GET", path, **declaration)

    def post(self, path: str, **declaration: Any) -> Callable[[Any], Any]:
        """Declare a POST route."""
        return self.add("POST", path, **declaration)

    def patch(self, path: str, **declaration: Any) -> Callable[[Any], Any]:
        """Declare a PATCH route; it takes `If-Match`."""
        raises = (*declaration.pop("raises", ()), StaleError)
        return self.add("PATCH", path, raises=raises, **declaration)

    def delete(self, path: str, **declaration: Any) -> Callable[[Any], Any]:
        """Declare a DELETE route, answered with 204 unless it says otherwise."""
        declaration.setdefault("status", 204)
        return self.add("DELETE", path, **declaration)


def _errors(
    path: str, policy: Policy, raises: Sequence[type[PosthouseError]]
) -> list[type[PosthouseError]]:
    found: list[type[PosthouseError]] = [*raises, *_ALWAYS]
    if policy.needs is not None:
        found += [UnauthenticatedError, ForbiddenError]
    if "{" in path:
        found.append(NotFoundError)
    if policy.reads_json:
        found += [MalformedJsonError, MediaTypeError, TooLargeError]
    if policy.streams:
        found += [MediaTypeError, TooLargeError]
    if policy.is_idempotent or policy.keeps_key:
        found += [idempotency.IdempotencyInFlightError, idempotency.IdempotencyMismatchError]
    return found


def _extra(policy: Policy) -> dict[str, Any]:
    extra: dict[str, Any] = {"x-rate-class": policy.rate, "x-scope": None}
    if policy.needs is not None:
        extra["x-scope"] = policy.needs.name
        extra["security"] = [{"bearer": []}, *([{}] if policy.is_open else [])]
    if policy.streams:
        schema = policy.stream_schema or {"type": "string", "minLength": 1}
        extra["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in policy.streams},
        }
    extra["parameters"] = list(policy.parameters)
    if policy.is_idempotent or policy.keeps_key:
        extra["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Makes a repetition of this request safe for 24 hours.",
                "schema": {"type": "string", "pattern": idempotency.KEY_PATTERN},
            }
        )
    return extra


# These are coroutines because FastAPI runs plain functions in a thread, at 85 us each.
async def current_principal(request: Request) -> Principal:
    """The caller; for `Depends` in a route that needs one.

    Raises:
        UnauthenticatedError: the route is open and the caller sent no credentials.
    """
    principal: Principal | None = request.state.principal
    if principal is None:
        raise UnauthenticatedError
    return principal


async def maybe_principal(request: Request) -> Principal | None:
    """The caller of an open route, if it said who it is."""
    principal: Principal | None = request.state.principal
    return principal


def service(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """Make a dependency that gives the service of class `kind`, for a slice's `api.py`."""

    async def give(request: Request) -> T:
        found: T = request.app.state.services[kind]
        return found

    return give
