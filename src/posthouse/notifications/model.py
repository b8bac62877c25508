"""The values of notifications: ids, choices and frozen records."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NewType
from uuid import UUID

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.events import Event
from posthouse.kernel.ids import Prefix

NotificationId = NewType("NotificationId", UUID)
DeliveryId = NewType("DeliveryId", UUID)
RecipientId = NewType("RecipientId", UUID)
DeviceId = NewType("DeviceId", UUID)
TopicId = NewType("TopicId", UUID)
TemplateId = NewType("TemplateId", UUID)
ProviderId = NewType("ProviderId", UUID)
NOTIFICATION = Prefix("ntf")
DELIVERY = Prefix("dlv")
RECIPIENT = Prefix("rcp")
DEVICE = Prefix("dev")
TEMPLATE = Prefix("tpl")
PROVIDER = Prefix("prv")
TASK = Prefix("tsk")

READ = Scope("notifications:read", Role.VIEWER)
WRITE = Scope("notifications:write", Role.MEMBER)
MANAGE = Scope("notifications:manage", Role.ADMIN)

Json = dict[str, Any]

GENERAL = "general"
"""The category of what names none; it need not be made."""


class Channel(StrEnum):
    """The ways to somebody."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class State(StrEnum):
    """Where a delivery is (docs/designs/notifications.md draws the ways between them)."""

    HELD = "held"
    QUEUED = "queued"
    LEASED = "leased"
    SENDING = "sending"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    RETRY_WAIT = "retry_wait"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    DEAD = "dead"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


STOPPABLE = frozenset({State.HELD, State.QUEUED, State.RETRY_WAIT})


class Priority(StrEnum):
    """What goes first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """The number that rows are sorted by; the highest goes first."""
        return list(Priority).index(self) - 1


class Doubt(StrEnum):
    """What becomes of a message of which nobody knows whether the provider took it."""

    RESEND = "resend"
    HOLD = "hold"
    ASSUME_SENT = "assume-sent"


DOUBTS = {Channel.EMAIL: Doubt.RESEND, Channel.SMS: Doubt.HOLD, Channel.PUSH: Doubt.RESEND}
"""What a category does that says nothing else: an SMS is sent at most once."""


class Failure(StrEnum):
    """The four classes of a definite refusal: what to do about it follows from the class."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class EmailContent:
    """A rendered email; the text is always there, the HTML may be."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A rendered text message."""

    text: str


@dataclass(frozen=True, slots=True)
class PushContent:
    """A rendered push message; `url` is where a tap leads."""

    title: str
    body: str
    url: str | None = None
    data: dict[str, str] = field(default_factory=dict[str, str])


Content = EmailContent | SmsContent | PushContent


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with an email."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message as a provider is handed it.

    `key` is the same for each attempt (`dlv_…`): it is the key of providers that honour one, and
    the left part of an email's Message-ID. `address` is an email address, a number in E.164, an
    FCM token or, as JSON, a Web Push subscription. `headers` go into an email as they are.

    """

    key: str
    address: str
    content: Content
    to_name: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    expires_at: datetime | None = None
    is_urgent: bool = False
    collapse: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it over; `reference` is its own name for it, if it gives receipts."""

    reference: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider did not take it, for certain.

    `is_address_bad` says that the address must not be used again. `code` is the provider's own.
    `is_strangers` says that the fault is not the provider's but that of a service which only this
    address leads to.
    """

    failure: Failure
    code: str
    detail: str = ""
    retry_after_s: float | None = None
    is_address_bad: bool = False
    is_strangers: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The message went out, but no answer came: it may have been taken or not."""

    code: str
    detail: str = ""
    is_strangers: bool = False


Outcome = Accepted | Refused | Unknown


class ReceiptKind(StrEnum):
    """What a provider tells later on."""

    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"

    @property
    def rank(self) -> int:
        """A receipt changes a delivery only if it outranks what is known already."""
        return list(ReceiptKind).index(self) + 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that a provider told: `event` is unique for each telling, for deduplication.

    `key` is our own name of the message, if the provider repeats it: it finds one whose
    `reference` we never heard.
    """

    event: str
    reference: str
    kind: ReceiptKind
    at: datetime | None = None
    code: str = ""
    detail: str = ""
    is_address_bad: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class NotificationEnded(Event):
    """No delivery of a notification is open any more."""

    name: ClassVar[str] = "notification.ended"

    notification_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class NewNotification:
    """What is to be sent, before it has deliveries.

    Of `content` (ad hoc) and `template_id` with `template_version` one is there. `local_send_at`
    is a local time without a zone, as ISO 8601.
    """

    id: NotificationId
    workspace_id: UUID
    category: str
    priority: int
    created_by: str
    role: str
    template_id: TemplateId | None = None
    template_version: int | None = None
    content: Json | None = None
    channels: tuple[Channel, ...] | None = None
    data: Json = field(default_factory=dict[str, Any])
    links: dict[str, str] = field(default_factory=dict[str, str])
    attachments: tuple[UUID, ...] = ()
    send_at: datetime | None = None
    local_send_at: str | None = None
    expires_at: datetime | None = None
    topic_id: TopicId | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(NewNotification):
    """What was asked for, and how far it is. `fan_out` is waiting, done or failed."""

    fan_out: str = "done"
    task_id: UUID | None = None
    cancelled_at: datetime | None = None
    ended_at: datetime | None = None
    status: str | None = None
    created_at: datetime


class Status(StrEnum):
    """How far a notification is, over all of its deliveries."""

    QUEUED = "queued"
    SENDING = "sending"
    DONE = "done"
    PARTLY_FAILED = "partly_failed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which notifications a list shows; None is any."""

    category: str | None = None
    template_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_open: bool | None = None
    status: str | None = None
    recipient_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One message to one address, as it is accepted; without an address it is skipped."""

    id: DeliveryId
    channel: Channel
    address: str | None
    recipient_id: RecipientId | None = None
    device_id: DeviceId | None = None
    locale: str | None = None
    timezone: str | None = None
    ready_at: datetime | None = None
    state: State = State.QUEUED
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one address, and how far it is."""

    id: DeliveryId
    workspace_id: UUID
    notification_id: NotificationId
    channel: Channel
    state: State
    reason: str
    detail: str
    address: str | None
    recipient_id: RecipientId | None
    device_id: DeviceId | None
    category: str
    locale: str | None
    timezone: str | None
    ready_at: datetime
    expires_at: datetime | None
    attempts: int
    doubts: int
    provider_id: ProviderId | None
    reference: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider; without an outcome it is under way, or its worker died."""

    delivery_id: DeliveryId
    number: int
    provider_id: ProviderId
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Line:
    """A provider as the worker knows it: which it is, and how much it may be used."""

    id: UUID
    workspace_id: UUID
    channel: Channel
    kind: str
    name: str
    priority: int
    at_once: int
    rate_per_s: float | None
    version: int
    is_paused: bool


class TargetKind(StrEnum):
    """The ways to say whom something goes to."""

    RECIPIENT = "recipient"
    TOPIC = "topic"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom something goes to: `value` is an id, a key or an address."""

    kind: TargetKind
    value: str
    locale: str | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants to be sent."""

    targets: tuple[Target, ...]
    category: str = GENERAL
    channels: tuple[Channel, ...] | None = None
    template: str | None = None
    content: Json | None = None
    data: Json = field(default_factory=dict[str, Any])
    links: dict[str, str] = field(default_factory=dict[str, str])
    attachments: tuple[str, ...] = ()
    priority: int = 0
    send_at: datetime | None = None
    local_send_at: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a recipient."""

    id: DeviceId
    kind: str
    token: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as sending sees them: a recipient, or a raw address (`id` is None)."""

    id: RecipientId | None
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProvider:
    """A provider as it is set up; `secrets` are sealed, and `secret_names` say which there are."""

    id: ProviderId
    workspace_id: UUID
    channel: Channel
    kind: str
    name: str
    options: Json
    secrets: bytes = field(repr=False)
    secret_names: tuple[str, ...]
    priority: int = 0
    at_once: int = 10
    rate_per_s: float | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSetup(NewProvider):
    """A provider that is set up; one that refused us is paused until somebody has looked at it."""

    paused_at: datetime | None
    paused_reason: str | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A receipt that belongs to a delivery: whose message it was, and where it went."""

    receipt: Receipt
    delivery_id: DeliveryId
