"""Stand-ins that are handed in through constructors."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class FrozenClock:
    """A clock that moves only when it is told to."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    _elapsed_s: float = 1000.0

    def now(self) -> datetime:
        return self.moment

    def epoch_s(self) -> float:
        return self.moment.timestamp()

    def monotonic(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self._elapsed_s += seconds
