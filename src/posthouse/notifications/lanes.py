"""A lane: the messages of one provider in this worker, and the slots that hand them over.

A slot marks a message (`sending`, with an attempt) before it calls the provider and notes the
answer before it takes another, so at most as many messages are under way, and in doubt after a
crash, as the provider has slots. The marks and answers of slots that come at the same time share a
transaction.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

from posthouse.kernel import trace
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.jobs import backoff_s
from posthouse.kernel.leases import Lease
from posthouse.kernel.ratelimit import Limiter, Rate
from posthouse.kernel.together import Together
from posthouse.notifications.attaching import Attaching
from posthouse.notifications.breaker import Breaker
from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.masking import conceal
from posthouse.notifications.model import (
    PROVIDER,
    Accepted,
    Channel,
    Failure,
    Line,
    Notification,
    Outcome,
    Outgoing,
    Refused,
    Unknown,
)
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import outgoing as store

log = logging.getLogger("posthouse.notifications")

_AGAIN_S = 0.2
_STEP = 16  # messages between two calls for more
_THROTTLED_S, _THROTTLED_LAST_S = 1.0, 60.0


@dataclass(slots=True)
class Going:
    """A claimed message that may go out: what is sent, and what the decision was made on.

    `problem` is why its files could not be read, if a lane gives it back for that.
    """

    lease: Lease
    outgoing: Outgoing
    notification: Notification
    consent: int | None
    device_id: UUID | None
    problem: PosthouseError | None = None

    def start(self, provider_id: UUID) -> store.Start:
        """The mark that it goes out."""
        lease = self.lease
        return store.Start(lease.id, lease.token, self.consent, self.outgoing.address, provider_id)


@dataclass(slots=True)
class Ended:
    """The end of a call, with what else follows from it."""

    finish: store.Finish
    workspace_id: UUID
    channel: Channel
    provider_id: UUID
    bad_address: str | None = None
    bad_device: UUID | None = None
    pause: str | None = None


_Asked = tuple[Ended | None, store.Start | None]


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def ignore(*_: object) -> None:
    """Until somebody wants to know."""


@dataclass(slots=True)
class Ledger:
    """Writes marks and answers, many in one transaction."""

    db: Database
    settings: NotificationsSettings
    touched: Callable[[Sequence[UUID]], None] = field(default=ignore)
    _together: Together[_Asked, bool] = field(init=False)

    def __post_init__(self) -> None:
        self._together = Together(self._write, at_once=1, most=256)

    async def turn(self, ended: Ended | None, start: store.Start | None) -> bool:
        """Note an answer and mark the next message; whether that one may go out."""
        return await self._together.ask((ended, start))

    async def _write(self, asked: Sequence[_Asked]) -> list[bool]:
        told = [ended for ended, _ in asked if ended is not None]
        sent = [one.finish for one in told if one.finish.outcome == _ACCEPTED]
        others = [one for one in told if one.finish.outcome != _ACCEPTED]
        going = [start for _, start in asked if start is not None]
        marked = set[UUID]()
        while others or sent or going:
            try:
                if others:
                    self.touched(await self._note(others))
                    others = []
                if sent or going:
                    async with self.db.alone() as connection:
                        turn = await store.turn(connection, sent, going, self.settings.sending_s)
                    marked, ended = turn
                    self.touched(ended)
                break
            except PosthouseError as error:
                # What a provider has said is not forgotten while Postgres is away. What was to go
                # out does not: if it was marked after all, its lease ends in doubt.
                extra = {"reason": error.code, "told": len(told), "going": len(going)}
                log.warning("not written", extra=extra)
                going = []
                if others or sent:
                    await asyncio.sleep(_AGAIN_S)
        return [start is not None and start.id in marked for _, start in asked]

    async def _note(self, told: Sequence[Ended]) -> list[UUID]:
        """Write refusals and what follows; gives the notifications of messages that ended."""
        async with self.db.begin() as tx:
            finishes = [one.finish for one in told]
            rows = await store.finish(tx, finishes, self.settings.max_attempts)
            await self._note_more(tx, told)
        return [row["notification_id"] for row in rows if row["state"] not in _STILL_OPEN]

    async def _note_more(self, tx: Tx, told: Sequence[Ended]) -> None:
        """Write what follows beyond the messages: addresses, devices, providers."""
        bad = [
            (one.workspace_id, one.channel, one.bad_address, "bounced", one.finish.code)
            for one in told
            if one.bad_address
        ]
        if bad:
            await store.suppress(tx, bad)
        gone = [one.bad_device for one in told if one.bad_device]
        if gone:
            await store.drop_devices(tx, gone)
        for one in told:
            if one.pause is not None:
                await store.pause(tx, one.provider_id, one.pause)


_ACCEPTED = "accepted"
_STILL_OPEN = frozenset({"retry_wait", "sending"})


@dataclass(slots=True)
class Lane:
    """The messages of one provider, in the order in which they were claimed."""

    line: Line
    provider: Provider
    ledger: Ledger
    attaching: Attaching
    limiter: Limiter
    clock: Clock
    settings: NotificationsSettings
    freed: Callable[[], None]
    wants: Callable[[Channel], None]
    has_other: Callable[[], bool]
    breaker: Breaker = field(default_factory=Breaker)
    waiting: deque[Going] = field(default_factory=deque[Going])
    busy: int = 0
    handed_over: int = 0
    paused_until: float = 0.0
    throttles: int = 0
    is_closing: bool = False
    is_refused: bool = False
    returned: list[Going] = field(default_factory=list[Going])
    pending: dict[UUID, Lease] = field(default_factory=dict[UUID, Lease])
    _sleepers: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]])

    @property
    def held(self) -> int:
        """How many messages it holds."""
        return len(self.waiting) + self.busy

    def leases(self) -> list[Lease]:
        """The leases of the messages that are not marked yet."""
        return [*(going.lease for going in self.waiting), *self.pending.values()]

    @property
    def is_full(self) -> bool:
        """Whether it has enough to do for now."""
        return len(self.waiting) > self._least

    @property
    def _least(self) -> int:
        """Below so many waiting ones it wants more."""
        return max(32, 3 * self.line.at_once)

    def trouble(self) -> str:
        """Why it takes no messages now; empty if it does."""
        now = self.clock.monotonic()
        if self.line.is_paused or self.is_refused:
            return "paused until somebody has looked at it"
        if not self.breaker.allows(now):
            return f"it failed {self.breaker.failures} times in a row"
        if now < self.paused_until:
            return "it asked us to slow down"
        return ""

    def wait_s(self) -> float:
        """How long its trouble lasts at least."""
        now = self.clock.monotonic()
        return max(0.0, self.breaker.wait_s(now), self.paused_until - now)

    def put(self, going: Going) -> None:
        """Take a message."""
        self.waiting.append(going)
        # One slot for one message: to wake all of them would cost more than to send it.
        if self._sleepers:
            _wake(self._sleepers.popleft())

    async def run(self) -> None:
        """Hand over messages until `close`; what waits then is in `returned`."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.line.at_once):
                    group.create_task(self._slot())
        finally:
            self._give_back()
            with suppress(Exception):
                await self.provider.close()

    def close(self) -> None:
        """Take no more; the slots end with what they have in hand."""
        self.is_closing = True
        self._give_back()
        for sleeper in self._sleepers:
            _wake(sleeper)

    def _give_back(self) -> None:
        """Let another provider have what waits, or another worker."""
        self.returned.extend(self.waiting)
        self.waiting.clear()

    async def _slot(self) -> None:
        ended: Ended | None = None
        while True:
            if ended is not None and self.line.rate_per_s is not None:
                await self._turn(ended, None)  # it may be long until the next may go
                ended = None
            going = await self._next(may_wait=ended is None)
            if going is None and ended is None:
                return
            if going is not None and going.notification.attachments:
                await self._turn(ended, None)
                ended = await self._send_with_files(going)
                continue
            may_go = await self._turn(ended, going)
            ended = await self._hand_over(going, going.outgoing) if may_go and going else None

    async def _turn(self, ended: Ended | None, going: Going | None) -> bool:
        """Note the end of a call and mark the next message; whether that one may go out."""
        if ended is None and going is None:
            return False
        start = None if going is None else going.start(self.line.id)
        may_go = await self.ledger.turn(ended, start)
        if ended is not None:
            self.busy -= 1
            self.freed()
        if going is not None and not may_go:
            self._return(going)
        return may_go

    async def _send_with_files(self, going: Going) -> Ended | None:
        """Read the files before the message is marked: until then nothing is in doubt."""
        try:
            with self._pending(going):
                async with self.attaching.reading(going.notification) as attachments:
                    if not await self._turn(None, going):
                        return None
                    outgoing = replace(going.outgoing, attachments=attachments)
                    return await self._hand_over(going, outgoing)
        except PosthouseError as error:
            going.problem = error
            self._return(going)
            return None

    def _return(self, going: Going) -> None:
        """Let it be decided again what becomes of a message that was not handed over."""
        self.busy -= 1
        self.breaker.learn_nothing()
        self.returned.append(going)
        self.freed()

    async def _next(self, *, may_wait: bool) -> Going | None:
        """The next message; None if there is none now, or if the lane closes."""
        while not self.is_closing:
            if self.waiting and not self.trouble():
                going = self.waiting.popleft()
                self.busy += 1
                if len(self.waiting) <= self._least and len(self.waiting) % _STEP == 0:
                    self.wants(self.line.channel)
                self.breaker.begin()
                if await self._keep_rate(going):
                    return going
                self._return(going)
                return None
            if not may_wait:
                return None
            if self.waiting and self.has_other():
                self._give_back()
            await self._sleep(min(1.0, self.wait_s() or 1.0))
        return None

    async def _sleep(self, longest_s: float) -> None:
        """Wait for a message, but not for longer than this."""
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers.append(sleeper)
        timer = loop.call_later(longest_s, _wake, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            with suppress(ValueError):
                self._sleepers.remove(sleeper)

    async def _keep_rate(self, going: Going) -> bool:
        """Wait until a message may go by the provider's rate; False if the lane closes before."""
        per_s = self.line.rate_per_s
        if per_s is None:
            return True
        rate = Rate("provider", per_s, max(1, round(per_s)))
        with self._pending(going):
            while not self.is_closing:
                verdict = await self.limiter.take(str(self.line.id), rate)
                if verdict.is_allowed:
                    return True
                await asyncio.sleep(min(1.0, verdict.retry_after_s))
        return False

    @contextmanager
    def _pending(self, going: Going) -> Generator[None]:
        """Hold the lease of a message that a slot has; once it is marked this does nothing."""
        self.pending[going.lease.id] = going.lease
        try:
            yield
        finally:
            self.pending.pop(going.lease.id, None)

    async def _hand_over(self, going: Going, outgoing: Outgoing) -> Ended:
        with trace.resumed(outgoing.trace_id):
            try:
                outcome = await self.provider.send(outgoing)
            except Exception as error:
                # A provider that breaks its promise: nobody knows how far it came.
                log.exception("provider failed", extra={"provider": PROVIDER.show(self.line.id)})
                outcome = Unknown("internal", type(error).__name__)
            self.handed_over += 1
            if outcome.detail and not isinstance(outcome, Accepted):
                told = conceal(outcome.detail, self.line.channel, outgoing.address)
                outcome = replace(outcome, detail=told)
            return self._judge(going, outcome)

    def _judge(self, going: Going, outcome: Outcome) -> Ended:
        """What follows from an answer, for the message and for the lane."""
        lease = going.lease
        if isinstance(outcome, Accepted):
            self.breaker.succeed()
            self.throttles = 0
            return self._end(
                going,
                store.Finish(lease.id, lease.token, "sent", _ACCEPTED, reference=outcome.reference),
            )
        if isinstance(outcome, Unknown):
            self._fail(outcome)
            return self._end(
                going,
                store.Finish(
                    lease.id, lease.token, "sending", "unknown", "unknown", outcome.code,
                    outcome.detail[:500],
                ),
            )  # fmt: skip
        return self._refused(going, outcome)

    def _refused(self, going: Going, outcome: Refused) -> Ended:
        lease, failure = going.lease, outcome.failure
        finish = store.Finish(
            lease.id, lease.token, "retry_wait", failure, outcome.code, outcome.code,
            outcome.detail[:500], outcome.retry_after_s or 0.0,
        )  # fmt: skip
        if failure is Failure.PERMANENT:
            self.breaker.succeed()
            finish = replace(finish, state="failed", delay_s=None)
            return self._end(going, finish, is_address_bad=outcome.is_address_bad)
        if failure is Failure.THROTTLED:
            self.breaker.succeed()
            delay_s = self._slow_down(outcome.retry_after_s)
            return self._end(going, replace(finish, is_free=True, delay_s=delay_s))
        if failure is Failure.CONFIG:
            self.is_refused = True
            provider, reason = PROVIDER.show(self.line.id), outcome.code
            log.error("provider paused", extra={"provider": provider, "reason": reason})
            words = f"{outcome.code} {outcome.detail}".strip()[:500]
            return self._end(going, replace(finish, is_free=True), pause=words)
        self._fail(outcome)
        # Another provider is tried at once, as this one has not taken it for certain.
        if lease.attempt > 1 or not self.has_other():
            delay_s = backoff_s(lease.attempt, last_s=self.settings.retry_s)
            finish = replace(finish, delay_s=max(delay_s, outcome.retry_after_s or 0.0))
        return self._end(going, finish)

    def _fail(self, outcome: Refused | Unknown) -> None:
        """Count a failure, unless anybody could cause it who gives us an address of their own."""
        if outcome.is_strangers:
            self.breaker.learn_nothing()
        else:
            self.breaker.fail(self.clock.monotonic())

    def _slow_down(self, asked_s: float | None) -> float:
        pause_s = asked_s or min(_THROTTLED_LAST_S, _THROTTLED_S * 2**self.throttles)
        self.throttles = min(self.throttles + 1, 6)
        self.paused_until = self.clock.monotonic() + pause_s
        return pause_s

    def _end(
        self,
        going: Going,
        finish: store.Finish,
        *,
        is_address_bad: bool = False,
        pause: str | None = None,
    ) -> Ended:
        is_push = self.line.channel is Channel.PUSH
        return Ended(
            finish,
            going.lease.workspace_id,
            self.line.channel,
            self.line.id,
            bad_address=going.outgoing.address if is_address_bad and not is_push else None,
            bad_device=going.device_id if is_address_bad and is_push else None,
            pause=pause,
        )
