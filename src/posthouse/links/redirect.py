"""Follows short links: a plain ASGI application in front of everything else.

`answer_at_once` is the hot path, written with `bench/redirect.py` at hand: `kernel.server` asks it
before it makes anything for a request. All else (codes that this process does not know, passwords,
limits, previews) takes the long way round.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import Response

from posthouse.kernel.addresses import ProxyTrust
from posthouse.kernel.clock import Clock
from posthouse.kernel.edge import EdgeLimits, Receive, Scope, Send, one_host
from posthouse.kernel.errors import LoopError, MethodError, MisdirectedError, PosthouseError
from posthouse.kernel.ratelimit import Limiter, Rate
from posthouse.links import pages
from posthouse.links.codes import is_code
from posthouse.links.hosts import HostTable
from posthouse.links.recorder import Follow, Recorder
from posthouse.links.resolver import Resolver
from posthouse.links.routes import Outcome, Route, outcome
from posthouse.links.targets import host_of, with_path, with_query
from posthouse.links.unlocking import Unlocking

_PERMANENT = frozenset({301, 308})
_CAMPAIGN = "utm_campaign"
# Many spellings of a few hosts: with and without the port, in any case.
_SPELLINGS = 1000


def redirect_headers(status: int, location: str) -> list[tuple[bytes, bytes]]:
    """The headers of a redirect.

    301 and 308 may be kept by the browser for 30 s, or it would never ask again (RFC 9110
    section 15.4.2 makes them cacheable by default); 302 and 307 are asked each time.
    """
    lifetime = b"private, max-age=30" if status in _PERMANENT else b"private, max-age=0"
    return [
        (b"location", location.encode("ascii")),
        (b"cache-control", lifetime),
        (b"content-length", b"0"),
    ]


def redirect_start(status: int, location: str) -> bytes | None:
    """A redirect as it is sent, but for its date; None if the location could end a header."""
    if not location.isascii() or not location.isprintable():
        return None
    lines = [b"%b: %b\r\n" % pair for pair in redirect_headers(status, location)]
    reason = HTTPStatus(status).phrase.encode()
    return b"".join([b"HTTP/1.1 %d %b\r\n" % (status, reason), *lines])


@dataclass(slots=True)
class Redirector:
    """Answers every path that is not one of our own."""

    hosts: HostTable
    resolver: Resolver
    recorder: Recorder
    limiter: Limiter
    unlocking: Unlocking
    spend: Callable[[Route], Awaitable[bool]]
    clock: Clock
    trust: ProxyTrust
    limits: EdgeLimits
    unknown_rate: Rate
    followed: int = field(default=0, init=False)

    def answer_at_once(self, target: bytes, scope: Scope) -> bytes | None:
        """Follow a link that this process knows; None means that the long way must be taken.

        What is not a code that is known, such as a path with a query, is simply not found here.
        """
        headers = dict(scope["headers"])
        domain = self.hosts.by_header.get(headers.get(b"host", b""))
        # A header that came twice, the Host above all, is for the long way to judge.
        if domain is None or len(headers) != len(scope["headers"]):
            return None
        entry = self.resolver.recall((domain, target[1:].decode("latin-1")))
        if entry is None or entry.start is None or entry.route is None:
            return None
        self._record(entry.route, scope, headers)
        return entry.start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            route = await self._plain_route(scope)
            if route is not None:
                headers = redirect_headers(route.status, route.location)
                await send(
                    {"type": "http.response.start", "status": route.status, "headers": headers}
                )
                await send({"type": "http.response.body", "body": b""})
                return
            response = await self._answer(scope, receive)
        except PosthouseError as error:
            response = pages.failure(Request(scope), error)
        await response(scope, receive, send)

    async def _plain_route(self, scope: Scope) -> Route | None:
        """Follow a link as `answer_at_once` does, but ask for what this process does not know."""
        headers = dict(scope["headers"])
        domain = self.hosts.by_header.get(headers.get(b"host", b""))
        code = scope["path"][1:]
        if (
            domain is None
            or len(headers) != len(scope["headers"])
            or scope["method"] != "GET"
            or scope["query_string"]
            or not is_code(code)
        ):
            return None
        entry = await self.resolver.resolve(domain, code)
        route = entry.route
        if entry.start is None or route is None or self.hosts.serves(_host_in(route.location)):
            return None
        self._record(route, scope, headers)
        return route

    def _record(
        self,
        route: Route,
        scope: Scope,
        headers: dict[bytes, bytes],
        *,
        method: str = "GET",
        campaign: str = "",
    ) -> None:
        """Note a follow; `campaign` is what the follower's query says of it."""
        self.followed += 1
        self.recorder.record(
            Follow(
                route.link_id,
                route.workspace_id,
                self.clock.epoch_s(),
                method,
                self.trust.client_of(scope),
                headers.get(b"user-agent", b""),
                headers.get(b"referer", b""),
                headers.get(b"sec-purpose")
                or headers.get(b"purpose")
                or headers.get(b"x-moz", b""),
                campaign or route.campaign,
            )
        )

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, receive)
        domain = self._domain_of(request)
        code, _, rest = scope["path"][1:].partition("/")
        wants_preview = code.endswith("+")
        code = code.removesuffix("+")
        route = await self._find(domain, code, rest)
        if route is None:
            return await self._unknown(request)
        found = outcome(route, self.clock.epoch_s())
        if found is Outcome.GONE:
            return pages.gone(request)
        if found is Outcome.PASSWORD and not self.unlocking.is_unlocked(request, code, route):
            return await self._ask_password(request, code, route)
        if request.method == "POST":
            raise MethodError(headers={"Allow": "GET, HEAD"})
        if wants_preview:
            return pages.preview(request, route)
        return await self._follow(request, route, rest)

    def _domain_of(self, request: Request) -> str:
        """Find whose codes the Host shows, and remember its spelling for the next request.

        Raises:
            MisdirectedError: the Host is not one of ours.
            MethodError: links are followed, nothing else.
        """
        domain = self.hosts.domain_of(one_host(request.scope["headers"], self.limits))
        if domain is None:
            raise MisdirectedError
        if request.method not in {"GET", "HEAD", "POST"}:
            raise MethodError(headers={"Allow": "GET, HEAD"})
        if len(self.hosts.by_header) < _SPELLINGS:
            self.hosts.by_header[request.headers["host"].encode("latin-1")] = domain
        return domain

    async def _find(self, domain: str, code: str, rest: str) -> Route | None:
        """Find the route of a code; None if followers are not to know that there is one."""
        if not is_code(code):
            return None
        route = (await self.resolver.resolve(domain, code)).route
        found = outcome(route, self.clock.epoch_s())
        if route is None or found in {Outcome.UNKNOWN, Outcome.NOT_YET}:
            return None
        if rest and (not route.forwards_path or _climbs(rest)):
            return None
        return route

    async def _ask_password(self, request: Request, code: str, route: Route) -> Response:
        if request.method == "POST":
            return await self._unlock(request, code, route)
        return pages.password_form(request, is_wrong=False)

    async def _follow(self, request: Request, route: Route, rest: str) -> Response:
        query = request.scope["query_string"].decode("latin-1")
        if self.hosts.serves(host_of(route.location)):
            # The host became ours after the link was made.
            raise LoopError
        location = self._location(request, route, query, rest)
        if route.is_counted and request.method == "GET" and not await self.spend(route):
            return pages.gone(request)
        headers = dict(reversed(request.scope["headers"]))  # of one that came twice, the first
        self._record(
            route, request.scope, headers, method=request.method, campaign=_campaign(query)
        )
        response = Response(status_code=route.status)
        response.raw_headers = redirect_headers(route.status, location)
        return response

    def _location(self, request: Request, route: Route, query: str, rest: str) -> str:
        location = route.location
        if rest and route.forwards_path:
            raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
            raw_rest = raw[1:].partition(b"/")[2].decode("ascii", "replace")
            location = with_path(location, raw_rest)
        if query and route.forwards_query:
            location = with_query(location, _safe_query(query))
        return location

    async def _unlock(self, request: Request, code: str, route: Route) -> Response:
        network = self.trust.client_of(request.scope)
        is_right = await self.unlocking.try_password(request, code, route, network)
        if not is_right:
            return pages.password_form(request, is_wrong=True)
        response = Response(status_code=303, headers={"Location": request.url.path})
        self.unlocking.remember(request, response, code, route)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _unknown(self, request: Request) -> Response:
        """Answer that there is nothing; who asks too often for nothing is told to stop."""
        address = self.trust.client_of(request.scope)
        verdict = await self.limiter.take(wide_network_of(address), self.unknown_rate)
        verdict.require()
        return pages.unknown(request)


def wide_network_of(address: str) -> str:
    """The bucket of those who look for codes: the /24 of IPv4, the /64 of IPv6."""
    from posthouse.kernel.ratelimit import network_of  # noqa: PLC0415

    network = network_of(address)
    return network.rpartition(".")[0] if network.count(".") == 3 else network  # noqa: PLR2004


def _host_in(location: str) -> str:
    """The host of a URL that was normalised before, without parsing it anew."""
    authority = location.split("/", 3)[2].rpartition("@")[2]
    host = authority if authority.endswith("]") else authority.rpartition(":")[0] or authority
    return host.rstrip(".")


def _climbs(rest: str) -> bool:
    """Whether path segments (decoded once already) hold dots that a target may resolve."""
    return any(unquote(part) in {".", ".."} for part in rest.replace("\\", "/").split("/"))


def _campaign(query: str) -> str:
    if _CAMPAIGN not in query:
        return ""
    return parse_qs(query).get(_CAMPAIGN, [""])[0][:100]


def _safe_query(query: str) -> str:
    """The raw query with anything that may not stand in a header percent-encoded."""
    return "".join(
        character
        if "!" <= character <= "~" and character not in '"<>#'
        else f"%{ord(character):02X}"
        for character in query
    )
