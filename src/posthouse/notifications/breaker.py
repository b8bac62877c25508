"""When to leave a provider alone: a circuit breaker, pure and told the time.

Closed: calls go out. After `MOST` failures in a row it opens, for a while that doubles each time;
then one call goes out as a probe (half open), and its end closes or opens it again.
Source: Nygard, "Release It!", 2007 (Circuit Breaker).
"""

from dataclasses import dataclass

MOST = 5
_FIRST_S = 2.0
_LAST_S = 120.0


@dataclass(slots=True)
class Breaker:
    """The breaker of one provider in one worker; times are of a monotonic clock, in seconds."""

    failures: int = 0
    opened: int = 0
    open_until: float = 0.0
    is_probing: bool = False

    def allows(self, now: float) -> bool:
        """Whether a call may go out; while half open, only the one that `begin` was told of."""
        if self.failures < MOST:
            return True
        return now >= self.open_until and not self.is_probing

    def begin(self) -> None:
        """A call goes out."""
        self.is_probing = self.failures >= MOST

    def succeed(self) -> None:
        """The provider answered, whatever it said about the message."""
        self.failures = self.opened = 0
        self.is_probing = False

    def learn_nothing(self) -> None:
        """A call ended in a way that says nothing about the provider."""
        self.is_probing = False

    def fail(self, now: float) -> None:
        """The provider did not answer, or said that it cannot."""
        if self.failures >= MOST and not self.is_probing:
            return  # it went out before the breaker opened, and says nothing new
        self.failures += 1
        self.is_probing = False
        if self.failures >= MOST:
            pause_s = min(_LAST_S, _FIRST_S * 2**self.opened)
            self.opened = min(self.opened + 1, 16)
            self.open_until = now + pause_s

    def wait_s(self, now: float) -> float:
        """How long until a call may go out."""
        return max(0.0, self.open_until - now) if self.failures >= MOST else 0.0
