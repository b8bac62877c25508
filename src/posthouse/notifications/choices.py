"""What recipients want and do not want: categories, preferences and suppressions, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from posthouse.notifications.contacts import QuietHours
from posthouse.notifications.model import GENERAL, Channel, Doubt

ALL = ""
"""Stands for all channels in a preference, and for all categories in a suppression."""

Key = tuple[str, str]
"""A category, and a channel or `ALL`."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of message that people can switch off, unless it is critical."""

    key: str
    name: str
    is_critical: bool = False
    doubts: Mapping[Channel, Doubt] = field(default_factory=dict[Channel, Doubt])
    version: int = 0


def general() -> Category:
    """The category that is there without being made."""
    return Category(GENERAL, "General")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What one recipient chose. What is not in `choices` is on."""

    is_stopped: bool = False
    quiet_hours: QuietHours | None = None
    choices: Mapping[Key, bool] = field(default_factory=dict[Key, bool])

    def allows(self, category: str, channel: Channel) -> bool:
        """Whether a category may come through a channel; the channel's own choice goes first."""
        return allows(self.choices, category, channel)


def allows(choices: Mapping[Key, bool], category: str, channel: Channel) -> bool:
    """Whether a category may come through a channel; the channel's own choice goes first."""
    return choices.get((category, channel), choices.get((category, ALL), True))


def choices_of(given: Mapping[str, Mapping[str, bool]]) -> dict[Key, bool]:
    """Choices as the API says them, `{category: {"all" | channel: bool}}`, in our terms."""
    return {
        (category, ALL if channel == "all" else channel): is_on
        for category, channels in given.items()
        for channel, is_on in channels.items()
    }


class Reason(StrEnum):
    """Why an address is not written to any more."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    OPTED_OUT = "opted-out"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that a channel must not use, for one category or for all (`ALL`)."""

    channel: Channel
    address: str
    category: str
    reason: Reason
    detail: str = ""
    created_at: datetime | None = None


def suppressed_form(channel: Channel, address: str) -> str:
    """The spelling by which an address is looked up among suppressions: mail ignores case."""
    return address.lower() if channel is Channel.EMAIL else address
