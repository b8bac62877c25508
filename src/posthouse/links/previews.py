"""Says what a page of somebody else's says of itself, asked for once however many want to know.

Within a process one call per page is under way (`kernel.flights`); between processes a lock in
Valkey lets one of them ask while the others wait for its answer. Failures are kept too, for a
moment. While Valkey is away each process asks for itself and nothing is kept.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from posthouse.kernel.cache import Cache, CacheDownError, Script
from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.flights import Flights
from posthouse.kernel.outbound import (
    Answer,
    Outbound,
    OutboundFailedError,
    OutboundLimits,
    OutboundRefusedError,
    OutboundTimeoutError,
)
from posthouse.links.errors import TargetRefusedError
from posthouse.links.model import Preview
from posthouse.links.pagehead import BODY_BYTES, read_head

FAILED_TTL_S = 30
REDIRECTS = 5
_POLL_S = 0.05
_SUCCESS = 2
_SPARE_S = 1.0  # the lock outlives the deadline of the one who holds it
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_ASK = {
    "User-Agent": "Posthouse-Preview/1 (+link preview)",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Encoding": "identity",
}
_FAILURES: dict[str, type[PosthouseError]] = {
    kind.code: kind for kind in (OutboundRefusedError, OutboundFailedError, OutboundTimeoutError)
}
# Gives the lock back only if it is still ours.
_UNLOCK = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one page: its preview, or the code and the words of a failure."""

    at: float
    url: str = ""
    title: str | None = None
    description: str | None = None
    image: str | None = None
    icon: str | None = None
    failure: str = ""
    detail: str = ""

    def preview(self) -> Preview:
        """What the page said.

        Raises:
            PosthouseError: it could not be asked; the error of that time.
        """
        if self.failure:
            raise _FAILURES.get(self.failure, OutboundFailedError)(self.detail)
        at = datetime.fromtimestamp(self.at, UTC)
        return Preview(self.url, self.title, self.description, self.image, self.icon, at)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Kept)


def open_outbound(deadline_s: float) -> Outbound:
    """The client that asks for pages."""
    return Outbound(
        OutboundLimits(
            deadline_s=deadline_s, body_bytes=BODY_BYTES, cuts_body=True, redirects=REDIRECTS
        )
    )


@dataclass(slots=True)
class Previews:
    """Previews of pages. `check` refuses what links may not lead to and gives the whole URL."""

    cache: Cache
    clock: Clock
    outbound: Outbound
    check: Callable[[str], str]
    ttl_s: int = 3600
    _flights: Flights[str, Kept] = field(init=False)

    def __post_init__(self) -> None:
        self._flights = Flights(self._ask_once)

    async def preview(self, url: str) -> Preview:
        """Say what the page at `url` says of itself, from memory if that is fresh.

        Raises:
            TargetRefusedError: links may not lead there either.
            OutboundRefusedError: it is not out on the internet, or redirects to what is not.
            OutboundFailedError: there was no answer, or it was not a page.
            OutboundTimeoutError: there was no whole answer in time.
            OverloadedError: too many pages are being asked for.
        """
        try:
            page, _, _ = self.check(url).partition("#")
        except TargetRefusedError as error:
            raise type(error)(error.detail, field="query.url") from error
        return (await self._flights.ask(page)).preview()

    async def _ask_once(self, page: str) -> Kept:
        digest = hashlib.sha256(page.encode()).hexdigest()
        place, lock, token = f"preview:{digest}", f"preview-lock:{digest}", secrets.token_hex(8)
        try:
            kept = await self._recall_or_lock(place, lock, token)
        except CacheDownError:
            return await self._ask(page)
        if kept is not None:
            return kept
        kept = await self._ask(page)
        try:
            await self.cache.set(
                place, _ENCODER.encode(kept), ttl_s=FAILED_TTL_S if kept.failure else self.ttl_s
            )
            await self.cache.run(_UNLOCK, [lock], [token])
        except CacheDownError:
            pass  # the next one asks again
        return kept

    async def _recall_or_lock(self, place: str, lock: str, token: str) -> Kept | None:
        """Give what is kept, waiting for another process that asks; None if we are to ask."""
        deadline_s = self.outbound.limits.deadline_s + _SPARE_S
        until = self.clock.monotonic() + deadline_s
        while True:
            if (kept := await self._recall(place)) is not None:
                return kept
            is_ours = await self.cache.call(
                lambda client: client.set(lock, token, nx=True, px=int(deadline_s * 1000))
            )
            if is_ours:
                # Somebody may have kept it and unlocked between our two commands.
                return await self._recall(place)
            if self.clock.monotonic() > until:
                return None
            await asyncio.sleep(_POLL_S)

    async def _recall(self, place: str) -> Kept | None:
        packed = await self.cache.get(place)
        if packed is None:
            return None
        try:
            return _DECODER.decode(packed)
        except msgspec.MsgspecError:
            return None  # another version of the program wrote it

    async def _ask(self, page: str) -> Kept:
        at = self.clock.epoch_s()
        try:
            answer = await self.outbound.request("GET", page, headers=_ASK)
            content_type = _page_type(answer)
        except (OutboundRefusedError, OutboundFailedError, OutboundTimeoutError) as error:
            return Kept(at, failure=error.code, detail=error.detail)
        head = read_head(answer.body, content_type, answer.url)
        return Kept(at, answer.url, head.title, head.description, head.image, head.icon)


def _page_type(answer: Answer) -> str:
    """The content type of a page.

    Raises:
        OutboundFailedError: what came is no page.
    """
    if answer.status // 100 != _SUCCESS:
        raise OutboundFailedError(f"It answered with status {answer.status}.")
    content_type = answer.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() not in _HTML:
        raise OutboundFailedError("The answer is not an HTML page.")
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise OutboundFailedError("The answer is encoded in a way that was not asked for.")
    return content_type
