"""What sending takes, and what is told of what was sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from posthouse.kernel.moments import Moment
from posthouse.kernel.text import (
    Flag,
    Str,
    refuse_empty,
    refuse_unstorable,
    storable_object,
    tidy_name,
)
from posthouse.notifications.deciding import Act, Finding, Rule
from posthouse.notifications.masking import mask
from posthouse.notifications.model import (
    DELIVERY,
    GENERAL,
    NOTIFICATION,
    PROVIDER,
    RECIPIENT,
    TASK,
    TEMPLATE,
    Attempt,
    Channel,
    Delivery,
    Notification,
    Priority,
    State,
    Status,
    Target,
    TargetKind,
    Wanted,
)

MAX_TARGETS = 1000
MAX_ITEMS = 100
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Subject = Annotated[str, StringConstraints(max_length=500), AfterValidator(refuse_unstorable)]
Body = Annotated[Str, Field(max_length=262_144)]
Address = Annotated[Str, Field(min_length=1, max_length=320)]
Url = Annotated[Str, Field(min_length=1, max_length=4096)]
Id = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
Data = Annotated[dict[str, Any], AfterValidator(storable_object(65_536))]
LinkName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
FileId = Annotated[Str, Field(max_length=40, examples=["fil_01jd…"])]
LOCAL = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$"


class OneOrMany:
    """Tells the schema of a list that one of its items may stand for itself."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The item's schema, or the list's."""
        listed = handler(core)
        return {"anyOf": [listed["items"], listed]}


class TargetIn(BaseModel):
    """Whom it goes to: one of recipient, topic, email and phone."""

    model_config = ConfigDict(extra="forbid")

    recipient: Id | None = Field(default=None, description="`rcp_…`, or your own id of them.")
    topic: Key | None = Field(default=None, description="All who follow it; it stands alone.")
    email: Address | None = None
    phone: Address | None = Field(default=None, description="In E.164, such as +4930901820.")
    locale: Annotated[Str, Field(max_length=35)] | None = None
    timezone: Annotated[Str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [one for one in (self.recipient, self.topic, self.email, self.phone) if one]
        if len(named) != 1:
            raise PydanticCustomError(
                "not-one-target", "Name one of recipient, topic, email and phone"
            )
        return self

    def target(self) -> Target:
        """Say it as the service takes it."""
        kind = next(kind for kind in TargetKind if getattr(self, kind))
        return Target(kind, getattr(self, kind), self.locale, self.timezone)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Targets = Annotated[
    list[TargetIn],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=MAX_TARGETS),
    OneOrMany,
]


class ContentIn(BaseModel):
    """What is said, where there is no template; it may have variables as templates have them."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject | None = None
    text: Body | None = None
    html: Body | None = None
    title: Subject | None = None
    body: Body | None = None
    url: Url | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any((self.text, self.html, self.body)):
            raise PydanticCustomError("no-content", "Give text, html or body")
        return self


class LocalIn(BaseModel):
    """A time by each recipient's own clock."""

    model_config = ConfigDict(extra="forbid")

    local: Annotated[str, StringConstraints(pattern=LOCAL)] = Field(
        examples=["2026-12-24T09:00"], description="Without a zone: the recipient's counts."
    )

    @model_validator(mode="after")
    def _real(self) -> Self:
        try:
            moment = datetime.fromisoformat(self.local)
        except ValueError as error:
            raise PydanticCustomError("not-a-time", "There is no such time") from error
        if not 1970 <= moment.year < 3000:  # noqa: PLR2004  as all times of the API
            raise PydanticCustomError("out-of-range", "The time must be between 1970 and 3000")
        return self


class PriorityName(StrEnum):
    """Which of your own messages go first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class SendIn(BaseModel):
    """A notification: to whom, what, and when."""

    model_config = ConfigDict(extra="forbid")

    to: Targets
    channels: Annotated[list[Channel], Field(min_length=1, max_length=3)] | None = Field(
        default=None,
        description="Without it all that the content speaks.",
    )
    template: Key | None = Field(default=None, description="The key of a published template.")
    content: ContentIn | None = None
    data: Data = {}
    links: Annotated[dict[LinkName, Url], Field(max_length=20)] = Field(
        default={}, description="Made short and counted; `{{ links.name }}` in the content."
    )
    attachments: Annotated[list[FileId], Field(max_length=10)] = []
    category: Key = GENERAL
    priority: PriorityName = PriorityName.NORMAL
    send_at: Moment | LocalIn | None = Field(default=None, description="Not before.")
    expires_at: Moment | None = Field(default=None, description="Not after; it expires instead.")

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.template is None) == (self.content is None):
            raise PydanticCustomError("not-one-content", "Give either template or content")
        return self

    def wanted(self) -> Wanted:
        """Say it as the service takes it."""
        at = self.send_at
        return Wanted(
            targets=tuple(one.target() for one in self.to),
            category=self.category,
            channels=None if self.channels is None else tuple(dict.fromkeys(self.channels)),
            template=self.template,
            content=None if self.content is None else self.content.model_dump(exclude_none=True),
            data=self.data,
            links=self.links,
            attachments=tuple(self.attachments),
            priority=Priority(self.priority).rank,
            send_at=at if isinstance(at, datetime) else None,
            local_send_at=at.local if isinstance(at, LocalIn) else None,
            expires_at=self.expires_at,
        )


class BatchIn(BaseModel):
    """Several notifications that are accepted together or not at all."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[SendIn], Field(min_length=1, max_length=MAX_ITEMS)]


class RescheduleIn(BaseModel):
    """Another time for what was not tried yet."""

    model_config = ConfigDict(extra="forbid")

    send_at: Moment


class ResendIn(BaseModel):
    """Which of its messages are sent once more."""

    model_config = ConfigDict(extra="forbid")

    only_failed: Flag = True


class ReplayIn(BaseModel):
    """Which messages that did not arrive are queued again.

    Without `expected` they are only counted.
    """

    model_config = ConfigDict(extra="forbid")

    states: Annotated[list[State], Field(min_length=1, max_length=4)] = [State.DEAD]
    channel: Channel | None = None
    category: Key | None = None
    reason: Annotated[Str, Field(max_length=100)] | None = Field(
        default=None, description="Why they ended, such as `4.7.1`."
    )
    notification: Annotated[Str, Field(max_length=40)] | None = None
    provider: Annotated[Str, Field(max_length=40)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    expected: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = Field(
        default=None, description="As many as were counted; with another number nothing changes."
    )

    @model_validator(mode="after")
    def _replayable(self) -> Self:
        allowed = {State.DEAD, State.FAILED, State.EXPIRED, State.IN_DOUBT}
        if not set(self.states) <= allowed:
            raise PydanticCustomError(
                "not-repeatable", "Name of dead, failed, expired and in_doubt"
            )
        return self


class Accepted(BaseModel):
    """What was accepted, and where its status is."""

    job_id: str = Field(examples=["ntf_01jd…"])
    status: Status = Status.QUEUED


class BatchAccepted(BaseModel):
    """What was accepted, in the order in which it was given."""

    accepted: list[Accepted]


class Replayed(BaseModel):
    """How many messages are meant, and whether they were queued again."""

    count: int
    is_replayed: bool


class AttemptOut(BaseModel):
    """One call of a provider."""

    provider: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None = Field(description="Null: under way, or its worker died.")
    code: str
    detail: str


class DeliveryOut(BaseModel):
    """One message to one address; the address is shown in part."""

    id: str
    channel: Channel
    state: State
    reason: str
    detail: str
    address: str | None
    recipient: str | None
    ready_at: datetime | None
    tries: int
    doubts: int = Field(description="How often nobody knew whether the provider had taken it.")
    provider: str | None
    created_at: datetime
    updated_at: datetime
    attempts: list[AttemptOut]


class NotificationOut(BaseModel):
    """What was asked for, and how far it is."""

    id: str
    status: Status
    category: str
    channels: list[Channel] | None
    template: str | None = Field(description="The id of the template.")
    template_version: int | None
    priority: PriorityName
    send_at: datetime | None
    local_send_at: str | None
    expires_at: datetime | None
    task: str | None = Field(description="The task that fans it out to a topic.")
    links: dict[str, str]
    created_at: datetime
    cancelled_at: datetime | None
    ended_at: datetime | None


class NotificationShown(NotificationOut):
    """A notification with how many messages are in each state, and the first of them."""

    counts: dict[State, int]
    deliveries: list[DeliveryOut]


class FindingOut(BaseModel):
    """One rule that was asked."""

    rule: Rule
    decides: bool
    words: str


class ExplainedOut(BaseModel):
    """What was or would be decided about one message, and by which rule.

    `state` is null in a dry run.
    """

    channel: Channel
    address: str | None
    recipient: str | None
    state: State | None
    act: Act
    rule: Rule
    words: str
    until: datetime | None
    rules: list[FindingOut]
    content: dict[str, Any] | None = Field(description="As it would be rendered now.")


class Explanation(BaseModel):
    """Why, for each recipient and channel; of many only the first hundred."""

    explained: list[ExplainedOut]
    total: int


def show(found: Notification) -> NotificationOut:
    """Show a notification."""
    return NotificationOut(**_fields(found))


def show_whole(
    found: Notification,
    counts: Mapping[State, int],
    deliveries: Sequence[Delivery],
    attempts: Mapping[Any, Sequence[Attempt]],
) -> NotificationShown:
    """Show a notification with its messages."""
    return NotificationShown(
        **_fields(found),
        counts=dict(counts),
        deliveries=[show_delivery(one, attempts.get(one.id, ())) for one in deliveries],
    )


def _fields(found: Notification) -> dict[str, Any]:
    priority = list(PriorityName)[found.priority + 1]
    return {
        "id": NOTIFICATION.show(found.id),
        "status": Status(found.status or Status.QUEUED),
        "category": found.category,
        "channels": None if found.channels is None else list(found.channels),
        "template": TEMPLATE.show(found.template_id) if found.template_id else None,
        "template_version": found.template_version,
        "priority": priority,
        "send_at": found.send_at,
        "local_send_at": found.local_send_at,
        "expires_at": found.expires_at,
        "task": TASK.show(found.task_id) if found.task_id else None,
        "links": found.links,
        "created_at": found.created_at,
        "cancelled_at": found.cancelled_at,
        "ended_at": found.ended_at,
    }


def show_delivery(found: Delivery, attempts: Sequence[Attempt]) -> DeliveryOut:
    """Show one message."""
    is_for_ever = found.ready_at.year >= 9999  # noqa: PLR2004  Postgres' infinity
    return DeliveryOut(
        id=DELIVERY.show(found.id),
        channel=found.channel,
        state=found.state,
        reason=found.reason,
        detail=found.detail,
        address=mask(found.channel, found.address),
        recipient=RECIPIENT.show(found.recipient_id) if found.recipient_id else None,
        ready_at=None if is_for_ever else found.ready_at,
        tries=found.attempts,
        doubts=found.doubts,
        provider=PROVIDER.show(found.provider_id) if found.provider_id else None,
        created_at=found.created_at,
        updated_at=found.updated_at,
        attempts=[
            AttemptOut(
                provider=PROVIDER.show(one.provider_id),
                started_at=one.started_at,
                ended_at=one.ended_at,
                outcome=one.outcome,
                code=one.code,
                detail=one.detail,
            )
            for one in attempts
        ],
    )


def show_findings(found: Sequence[Finding]) -> list[FindingOut]:
    """Show the rules that were asked."""
    return [FindingOut(rule=one.rule, decides=one.decides, words=one.words) for one in found]
