"""What the API of providers takes and gives."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from posthouse.kernel.patches import require_some
from posthouse.kernel.text import Flag, Str, refuse_empty, tidy_name
from posthouse.notifications.model import (
    PROVIDER,
    Accepted,
    Channel,
    Json,
    Outcome,
    ProviderSetup,
    Refused,
)

MAX_ADDRESS = 4096


class KindName(StrEnum):
    """The kinds of providers."""

    SMTP = "smtp"
    SES = "ses"
    TWILIO = "twilio"
    FCM = "fcm"
    WEBPUSH = "webpush"
    CONSOLE_EMAIL = "console-email"
    CONSOLE_SMS = "console-sms"
    CONSOLE_PUSH = "console-push"


ProviderName = Annotated[
    str, StringConstraints(max_length=100), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
Options = Annotated[
    dict[str, Any], Field(max_length=50, description="What its kind is set up with.")
]
Secrets = Annotated[
    dict[str, Any], Field(max_length=20, description="Its keys and passwords; never shown again.")
]
Priority = Annotated[
    int, Field(strict=True, ge=-1000, le=1000, description="The highest of a channel is used.")
]
AtOnce = Annotated[
    int, Field(strict=True, ge=1, le=100, description="Messages under way at once, per worker.")
]
Rate = Annotated[
    float, Field(gt=0, le=100_000, allow_inf_nan=False, description="Messages a second at most.")
]


class ProviderIn(BaseModel):
    """A new provider."""

    model_config = ConfigDict(extra="forbid")

    kind: KindName
    name: ProviderName
    options: Options = {}
    secrets: Secrets = {}
    priority: Priority = 0
    at_once: AtOnce = 10
    rate_per_s: Rate | None = None
    is_enabled: Flag = True


class ProviderPatch(BaseModel):
    """Changes: what is absent stays. In options and secrets that holds for each name in them."""

    model_config = ConfigDict(extra="forbid")

    name: ProviderName = ""
    options: Options = {}
    secrets: Secrets = {}
    priority: Priority = 0
    at_once: AtOnce = 10
    rate_per_s: Rate | None = None
    is_enabled: Flag = True

    def changes(self) -> Json:
        """The fields that were named."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    _something = model_validator(mode="after")(require_some)


class ProviderOut(BaseModel):
    """A provider; of its secrets only which there are."""

    id: str
    channel: Channel
    kind: str
    name: str
    options: dict[str, Any]
    secrets: list[str] = Field(description="The names of those that are set.")
    priority: int
    at_once: int
    rate_per_s: float | None
    is_enabled: bool
    paused_at: datetime | None = Field(description="Since when it rests because it refused us.")
    paused_reason: str | None
    callback_url: str | None = Field(description="Where it tells what became of messages.")
    version: int
    created_at: datetime
    updated_at: datetime


class TrialWanted(BaseModel):
    """Where a test message goes."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[Str, StringConstraints(max_length=MAX_ADDRESS, min_length=1)] = Field(
        description="An address, a number, a token or a subscription as JSON."
    )


class TrialOutcome(StrEnum):
    """How a test ended."""

    ACCEPTED = "accepted"
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    CONFIG = "config"
    UNKNOWN = "unknown"


class TrialOut(BaseModel):
    """What became of a test message."""

    outcome: TrialOutcome
    code: str = Field(description="The provider's own; empty if it took the message.")
    detail: str
    reference: str | None = Field(description="The provider's own name for the message.")


def show(found: ProviderSetup, callback_url: str | None) -> ProviderOut:
    """Say a provider as the API does."""
    return ProviderOut(
        id=PROVIDER.show(found.id),
        channel=found.channel,
        kind=found.kind,
        name=found.name,
        options=found.options,
        secrets=list(found.secret_names),
        priority=found.priority,
        at_once=found.at_once,
        rate_per_s=found.rate_per_s,
        is_enabled=found.is_enabled,
        paused_at=found.paused_at,
        paused_reason=found.paused_reason,
        callback_url=callback_url,
        version=found.version,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )


def show_outcome(outcome: Outcome) -> TrialOut:
    """Say an outcome as the API does."""
    if isinstance(outcome, Accepted):
        return TrialOut(
            outcome=TrialOutcome.ACCEPTED,
            code="",
            detail=outcome.detail,
            reference=outcome.reference,
        )
    found = TrialOutcome(outcome.failure) if isinstance(outcome, Refused) else TrialOutcome.UNKNOWN
    return TrialOut(outcome=found, code=outcome.code, detail=outcome.detail, reference=None)
