"""Links with a password: a form, a few tries, and a cookie that opens this one link."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import TooLargeError
from posthouse.kernel.passwords import Passwords
from posthouse.kernel.ratelimit import Rate, StrictLimiter, network_of
from posthouse.kernel.signing import Signer
from posthouse.links.routes import Route

TRIES = Rate("link-password", per_s=5 / 60, burst=5)
_OPEN_S = 3600
_MAX_FORM_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Unlocking:
    """Checks passwords of links. `find_hash` reads the stored hash of a link."""

    signer: Signer
    limiter: StrictLimiter
    passwords: Passwords
    clock: Clock
    find_hash: Callable[[bytes], Awaitable[str | None]]

    def is_unlocked(self, request: Request, code: str, route: Route) -> bool:
        """Whether the request brings a cookie for this very link and version."""
        payload = self.signer.unseal(request.cookies.get(_cookie_name(code), ""))
        if payload is None:
            return False
        bound, _, until = payload.rpartition(b"|")
        return bound == _bound_to(route) and float(until) > self.clock.epoch_s()

    async def try_password(self, request: Request, code: str, route: Route, address: str) -> bool:
        """Check the password of a posted form; five tries a minute per link and network.

        Raises:
            RateLimitedError: there were too many tries.
            TooLargeError: the form is larger than a password can be.
        """
        verdict = await self.limiter.take(f"{code}:{network_of(address)}", TRIES)
        verdict.require()
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_FORM_BYTES:
                raise TooLargeError
        given = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        return await self.passwords.matches(await self.find_hash(route.link_id), given)

    def remember(self, request: Request, response: Response, code: str, route: Route) -> None:
        """Give the cookie that opens this link for an hour."""
        until = f"|{self.clock.epoch_s() + _OPEN_S:.0f}".encode()
        response.set_cookie(
            _cookie_name(code),
            self.signer.seal(_bound_to(route) + until),
            max_age=_OPEN_S,
            path=f"/{code}",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )


def _cookie_name(code: str) -> str:
    return f"posthouse_link_{code}"


def _bound_to(route: Route) -> bytes:
    return route.link_id + route.version.to_bytes(8)
