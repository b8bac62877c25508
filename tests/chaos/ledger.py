"""What clients saw, and whether the promises allow it.

A link's target carries its version, `https://example.com/<code>/<version>`, so a redirect tells
which edit it knows. All times are `time.monotonic()` of the test process, which is every client.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.house import Fault, House
from tests.chaos.wire import Answer

EDIT_SEEN_S = 5.0
DISABLE_SEEN_S = 1.0
LOST_AT_KILL_S = 0.1


def target(code: str, version: int) -> str:
    return f"https://example.com/{code}/{version}"


@dataclass(frozen=True, slots=True)
class Followed:
    """One redirect that was served. `life` is one process: its part and how often it started."""

    code: str
    life: tuple[str, int]
    version: int
    asked_at: float
    had_at: float


@dataclass(frozen=True, slots=True)
class Edited:
    """A version that was sent at `asked_at`; `had_at` is infinite if it was never confirmed."""

    version: int
    asked_at: float
    had_at: float


@dataclass(frozen=True, slots=True)
class Off:
    """A time in which a link was surely disabled: from the answer to the next request."""

    from_at: float
    until_at: float = float("inf")


@dataclass(slots=True)
class Link:
    """A link as its maker knows it."""

    id: str
    code: str
    etag: str = ""
    edits: list[Edited] = field(default_factory=list[Edited])
    offs: list[Off] = field(default_factory=list[Off])


@dataclass(slots=True)
class Ledger:
    """The history of one run."""

    house: House
    links: dict[str, Link] = field(default_factory=dict[str, Link])
    followed: list[Followed] = field(default_factory=list[Followed])
    cut: Counter[str] = field(default_factory=Counter[str])
    refused: list[Followed] = field(default_factory=list[Followed])
    odd: list[str] = field(default_factory=list[str])

    def note_follow(self, code: str, life: tuple[str, int], answer: Answer) -> None:
        """Take down an answer to a follow; what is no redirect, 410 or 503 is odd."""
        place, _, version = answer.location.removeprefix("https://example.com/").partition("/")
        if answer.status in {301, 302, 307, 308}:
            if place != code or not version.isdigit():
                self.odd.append(f"{code} led to {answer.location!r} in {life}")
                return
            self.followed.append(Followed(code, life, int(version), answer.asked_at, answer.had_at))
        elif answer.status == 503:
            self.refused.append(Followed(code, life, 0, answer.asked_at, answer.had_at))
        elif answer.status != 410 or not self.links[code].offs:
            self.odd.append(f"{code} answered {answer.status} in {life}: {answer.body[:200]!r}")

    def served(self) -> Counter[str]:
        """How many redirects of each code were served."""
        return Counter(one.code for one in self.followed)

    def wrong_targets(self) -> list[str]:
        """Redirects to a version that nobody had asked for by then."""
        asked = {
            (link.code, edit.version): edit.asked_at
            for link in self.links.values()
            for edit in link.edits
        }
        return [
            f"{one} leads where the link never did"
            for one in self.followed
            if asked.get((one.code, one.version), float("inf")) > one.had_at
        ]

    def backwards(self) -> list[str]:
        """Redirects that were older than what the same process had served before they began."""
        by_life: defaultdict[tuple[str, tuple[str, int]], list[Followed]] = defaultdict(list)
        for one in self.followed:
            by_life[one.code, one.life].append(one)
        found: list[str] = []
        for seen in by_life.values():
            ended = sorted(seen, key=lambda one: one.had_at)
            place, newest = 0, 0
            for one in sorted(seen, key=lambda one: one.asked_at):
                while place < len(ended) and ended[place].had_at < one.asked_at:
                    newest = max(newest, ended[place].version)
                    place += 1
                if one.version < newest:
                    found.append(f"{one} after version {newest}")
        return found

    def needless_503(self, slack_s: float) -> list[str]:
        """Refusals by a process that had served the code before, or with Postgres at hand."""
        away = [fault for fault in self.house.faults if fault.part == "Postgres"]
        known = {(one.code, one.life): one.had_at for one in reversed(self.followed)}
        return [
            f"{one} was answered with 503"
            for one in self.refused
            if known.get((one.code, one.life), float("inf")) < one.asked_at
            or not any(
                fault.began_at <= one.had_at and one.asked_at <= fault.ended_at + slack_s
                for fault in away
            )
        ]

    def stale(self, slack_s: float = 0.0) -> list[str]:
        """Redirects to a version that a newer one had replaced for too long.

        While Postgres is away nobody can know better, so that time does not count.
        """
        found: list[str] = []
        away = [fault for fault in self.house.faults if fault.part == "Postgres"]
        for one in self.followed:
            newer = [
                edit.had_at for edit in self.links[one.code].edits if edit.version > one.version
            ]
            since = min(newer, default=float("inf"))
            age_s = one.asked_at - since - _overlap_s(away, since, one.asked_at)
            if age_s > EDIT_SEEN_S + slack_s:
                found.append(f"{one} was replaced {age_s:.2f} s before")
        return found

    def after_disabling(self, within_s: float = DISABLE_SEEN_S) -> list[str]:
        """Redirects of a link that had been disabled for too long."""
        return [
            f"{one} was disabled {one.asked_at - off.from_at:.2f} s before"
            for one in self.followed
            for off in self.links[one.code].offs
            if off.from_at + within_s < one.asked_at and one.had_at < off.until_at
        ]

    def may_be_lost(self, slack_s: float) -> Counter[str]:
        """Follows whose count a SIGKILL of the HTTP process may have taken along."""
        lost: Counter[str] = Counter()
        for fault in self.house.faults:
            if not fault.part.startswith("http") or fault.what != "SIGKILL":
                continue
            since = fault.began_at - LOST_AT_KILL_S - slack_s
            lost.update(
                one.code
                for one in self.followed
                if one.life[0] == fault.part and since <= one.had_at <= fault.ended_at
            )
        return lost

    def miscounted(self, counted: dict[str, int], slack_s: float = 0.0) -> list[str]:
        """Links whose count is not what was served, less what may be lost, plus what was cut."""
        served, lost = self.served(), self.may_be_lost(slack_s)
        return [
            f"{code}: {counted[code]} counted, {served[code]} served, "
            f"{lost[code]} may be lost, {self.cut[code]} were cut off"
            for code in self.links
            if not served[code] - lost[code] <= counted[code] <= served[code] + self.cut[code]
        ]


def _overlap_s(faults: Iterable[Fault], since: float, until: float) -> float:
    return sum(
        max(0.0, min(until, fault.ended_at) - max(since, fault.began_at)) for fault in faults
    )
