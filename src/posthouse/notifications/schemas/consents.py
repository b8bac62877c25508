"""What the API of categories, preferences and suppressions takes and gives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from posthouse.kernel.text import Flag, Name, Str
from posthouse.notifications.choices import (
    ALL,
    Category,
    Preferences,
    Reason,
    Suppression,
    choices_of,
    suppressed_form,
)
from posthouse.notifications.emails import parse_email
from posthouse.notifications.model import DOUBTS, Channel, Doubt
from posthouse.notifications.phones import parse_phone
from posthouse.notifications.schemas.recipients import (
    KEY_PATTERN,
    QuietHoursIn,
    QuietHoursOut,
    show_quiet,
)

CategoryKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["news"])]
Address = Annotated[Str, Field(min_length=1, max_length=2000)]


class CategoryIn(BaseModel):
    """A category of messages."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Name, Field(max_length=200)]
    critical: Flag = Field(default=False, description="Nobody can switch it off.")
    doubts: dict[Channel, Doubt] = Field(
        default_factory=dict[Channel, Doubt],
        description="What becomes of a message of which nobody knows whether it was taken.",
    )

    def value(self, key: str) -> Category:
        """The same as a value."""
        return Category(key, self.name, self.critical, self.doubts)


class CategoryOut(BaseModel):
    """A category of messages."""

    key: str
    name: str
    critical: bool
    doubts: dict[Channel, Doubt]
    version: int


class ChoicesIn(BaseModel):
    """What somebody wants of one category; a channel's own choice goes before `all`."""

    model_config = ConfigDict(extra="forbid")

    all: Flag | None = None
    email: Flag | None = None
    sms: Flag | None = None
    push: Flag | None = None

    def named(self) -> dict[str, bool]:
        """The choices that were made."""
        return self.model_dump(exclude_none=True)


class PreferencesIn(BaseModel):
    """All that a recipient wants; what is absent is on."""

    model_config = ConfigDict(extra="forbid")

    stopped: Flag = False
    quiet_hours: QuietHoursIn | None = None
    categories: Annotated[dict[CategoryKey, ChoicesIn], Field(max_length=1_000)] = Field(
        default_factory=dict[str, ChoicesIn]
    )

    def value(self) -> Preferences:
        """The same as a value."""
        given = {key: choices.named() for key, choices in self.categories.items()}
        quiet = self.quiet_hours and self.quiet_hours.value()
        return Preferences(self.stopped, quiet, choices_of(given))


class PreferencesOut(BaseModel):
    """What a recipient wants."""

    stopped: bool
    quiet_hours: QuietHoursOut | None
    categories: dict[str, dict[str, bool]]


class SuppressionKeyIn(BaseModel):
    """Which address, through which channel, for which category."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    address: Address
    category: CategoryKey | None = Field(default=None, description="Without it: all categories.")

    @property
    def form(self) -> str:
        """The address in the spelling that it is kept in."""
        address = self.address.strip()
        if self.channel is Channel.SMS:
            address = parse_phone(address)
        elif self.channel is Channel.EMAIL:
            address = parse_email(address)
        return suppressed_form(self.channel, address)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            is_readable = bool(self.form)
        except ValueError:
            is_readable = False
        if not is_readable:
            raise PydanticCustomError("address-invalid", "Not an address of this channel")
        return self


class SuppressionIn(SuppressionKeyIn):
    """An address that must not be used."""

    reason: Reason = Reason.MANUAL
    detail: Annotated[Str, Field(max_length=500)] = ""

    def value(self) -> Suppression:
        """The same as a value."""
        return Suppression(self.channel, self.form, self.category or ALL, self.reason, self.detail)


class SuppressionOut(BaseModel):
    """An address that is not used."""

    channel: Channel
    address: str
    category: str | None
    reason: Reason
    detail: str
    created_at: datetime | None


def show_category(category: Category) -> CategoryOut:
    """Say a category as the API does."""
    return CategoryOut(
        key=category.key,
        name=category.name,
        critical=category.is_critical,
        doubts={**DOUBTS, **category.doubts},
        version=category.version,
    )


def show_preferences(found: Preferences) -> PreferencesOut:
    """Say preferences as the API does."""
    categories: dict[str, dict[str, bool]] = {}
    chosen: Mapping[tuple[str, str], bool] = dict(sorted(found.choices.items()))
    for (category, channel), is_on in chosen.items():
        categories.setdefault(category, {})[channel or "all"] = is_on
    return PreferencesOut(
        stopped=found.is_stopped,
        quiet_hours=show_quiet(found.quiet_hours),
        categories=categories,
    )


def show_suppression(found: Suppression) -> SuppressionOut:
    """Say a suppression as the API does."""
    return SuppressionOut(
        channel=found.channel,
        address=found.address,
        category=found.category or None,
        reason=found.reason,
        detail=found.detail,
        created_at=found.created_at,
    )
