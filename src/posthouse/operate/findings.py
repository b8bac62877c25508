"""What an examination finds: a name, a state, and words."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is: fail means that something does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what is the case, and what to do about it."""

    name: str
    state: State
    says: str
    do: str = ""


def fine(name: str, says: str) -> Finding:
    """All is well with it."""
    return Finding(name, State.OK, says)


def warn(name: str, says: str, do: str) -> Finding:
    """It works, but somebody should look at it."""
    return Finding(name, State.WARN, says, do)


def fail(name: str, says: str, do: str) -> Finding:
    """It does not work."""
    return Finding(name, State.FAIL, says, do)
