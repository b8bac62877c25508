"""Whether a message goes out now, and by which rule: one list of rules for sending and for why.

The rules are asked in order and the first that is met decides. The sender asks them with what it
has just read; `explain` asks them with the same facts and shows each answer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from posthouse.notifications.model import Channel
from posthouse.notifications.timing import quiet_until


class Rule(StrEnum):
    """What can decide about a message, in the order in which it is asked."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NO_ADDRESS = "no-address"
    SUPPRESSED = "suppressed"
    STOPPED = "stopped"
    PREFERENCE = "preference"
    SCHEDULED = "scheduled"
    QUIET_HOURS = "quiet-hours"
    NO_PROVIDER = "no-provider"
    PROVIDERS_DOWN = "providers-down"
    SEND = "send"


class Act(StrEnum):
    """What follows from a rule: the state of the delivery that it leads to."""

    SEND = "send"
    WAIT = "wait"
    HOLD = "held"
    SKIP = "skipped"
    SUPPRESS = "suppressed"
    EXPIRE = "expired"
    CANCEL = "cancelled"


ACTS = {
    Rule.CANCELLED: Act.CANCEL,
    Rule.EXPIRED: Act.EXPIRE,
    Rule.NO_ADDRESS: Act.SKIP,
    Rule.SUPPRESSED: Act.SUPPRESS,
    Rule.STOPPED: Act.SKIP,
    Rule.PREFERENCE: Act.SKIP,
    Rule.SCHEDULED: Act.HOLD,
    Rule.QUIET_HOURS: Act.HOLD,
    Rule.NO_PROVIDER: Act.WAIT,
    Rule.PROVIDERS_DOWN: Act.WAIT,
    Rule.SEND: Act.SEND,
}


@dataclass(frozen=True, slots=True)
class Route:
    """A provider that could take a message: `trouble` says why it does not now, if so."""

    name: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """All facts that rules look at. `choice` is what the recipient chose, None for nothing."""

    now: datetime
    channel: Channel
    category: str
    address: str | None
    is_cancelled: bool = False
    is_critical: bool = False
    is_stopped: bool = False
    choice: bool | None = None
    suppressed_for: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    quiet_from: time | None = None
    quiet_until: time | None = None
    timezone: str | None = None
    routes: Sequence[Route] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says: `until` is when a held message is looked at again."""

    rule: Rule
    words: str
    until: datetime | None = None

    @property
    def act(self) -> Act:
        """What follows."""
        return ACTS[self.rule]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that was asked: whether it decided, and what it saw."""

    rule: Rule
    decides: bool
    words: str


def decide(case: Case) -> Verdict:
    """The first rule that is met; there always is one."""
    for rule, ask in _RULES:
        met = ask(case)
        if met is not None:
            return Verdict(rule, *met)
    return _send(case)


def explain(case: Case) -> tuple[Verdict, list[Finding]]:
    """The verdict, and each rule up to it with what it saw."""
    verdict = decide(case)
    return verdict, list(_findings(case, verdict))


def _findings(case: Case, verdict: Verdict) -> Iterator[Finding]:
    for rule, _ in _RULES:
        if rule is verdict.rule:
            break
        yield Finding(rule, decides=False, words=_PASSED[rule](case))
    yield Finding(verdict.rule, decides=True, words=verdict.words)


_Met = tuple[str, datetime | None] | None


def _cancelled(case: Case) -> _Met:
    return ("It was cancelled.", None) if case.is_cancelled else None


def _expired(case: Case) -> _Met:
    if case.expires_at is None or case.expires_at > case.now:
        return None
    return f"It was to be sent before {_shown(case.expires_at)}.", None


def _no_address(case: Case) -> _Met:
    return None if case.address else (f"There is no address for {case.channel}.", None)


def _suppressed(case: Case) -> _Met:
    if case.suppressed_for is None:
        return None
    return f"The address is on the suppression list: {case.suppressed_for}.", None


def _stopped(case: Case) -> _Met:
    if not case.is_stopped or case.is_critical:
        return None
    return "The recipient stopped all messages that are not critical.", None


def _preference(case: Case) -> _Met:
    if case.choice is not False or case.is_critical:
        return None
    return f"The recipient switched off {case.category} by {case.channel}.", None


def _scheduled(case: Case) -> _Met:
    if case.send_at is None or case.send_at <= case.now:
        return None
    return f"It is to be sent at {_shown(case.send_at)}.", case.send_at


def _quiet(case: Case) -> _Met:
    if case.quiet_from is None or case.quiet_until is None or case.is_critical:
        return None
    until = quiet_until(case.now, case.quiet_from, case.quiet_until, case.timezone)
    if until is None:
        return None
    hours = f"from {case.quiet_from:%H:%M} to {case.quiet_until:%H:%M} ({case.timezone or 'UTC'})"
    return f"It is quiet for the recipient {hours}; it goes out at {_shown(until)}.", until


def _no_provider(case: Case) -> _Met:
    if case.routes:
        return None
    return f"No provider is set up for {case.channel}.", None


def _down(case: Case) -> _Met:
    if any(not route.trouble for route in case.routes):
        return None
    troubles = "; ".join(f"{route.name}: {route.trouble}" for route in case.routes)
    return f"No provider can take it now ({troubles}).", None


def _send(case: Case) -> Verdict:
    name = next((route.name for route in case.routes if not route.trouble), "")
    return Verdict(Rule.SEND, f"It goes out by {name}.")


_RULES: tuple[tuple[Rule, Callable[[Case], _Met]], ...] = (
    (Rule.CANCELLED, _cancelled),
    (Rule.EXPIRED, _expired),
    (Rule.NO_ADDRESS, _no_address),
    (Rule.SUPPRESSED, _suppressed),
    (Rule.STOPPED, _stopped),
    (Rule.PREFERENCE, _preference),
    (Rule.SCHEDULED, _scheduled),
    (Rule.QUIET_HOURS, _quiet),
    (Rule.NO_PROVIDER, _no_provider),
    (Rule.PROVIDERS_DOWN, _down),
)


def _critical(case: Case, words: str) -> str:
    return f"{words}, but {case.category} is critical." if case.is_critical else f"{words}."


_PASSED: dict[Rule, Callable[[Case], str]] = {
    Rule.CANCELLED: lambda _: "It was not cancelled.",
    Rule.EXPIRED: lambda case: (
        f"It may be sent until {_shown(case.expires_at)}."
        if case.expires_at
        else "It has no time after which it is not sent."
    ),
    Rule.NO_ADDRESS: lambda case: f"There is an address for {case.channel}.",
    Rule.SUPPRESSED: lambda _: "The address is not on the suppression list.",
    Rule.STOPPED: lambda case: (
        _critical(case, "The recipient stopped all messages")
        if case.is_stopped
        else "The recipient did not stop all messages."
    ),
    Rule.PREFERENCE: lambda case: (
        _critical(case, f"The recipient switched off {case.category} by {case.channel}")
        if case.choice is False
        else f"The recipient did not switch off {case.category} by {case.channel}."
    ),
    Rule.SCHEDULED: lambda _: "Its time has come.",
    Rule.QUIET_HOURS: lambda case: (
        "The recipient has no quiet hours."
        if case.quiet_from is None
        else _critical(case, "It is not to be held by quiet hours")
    ),
    Rule.NO_PROVIDER: lambda case: f"{len(case.routes)} providers are set up for {case.channel}.",
    Rule.PROVIDERS_DOWN: lambda _: "A provider can take it.",
}


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
