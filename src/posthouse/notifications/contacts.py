"""People who are written to, their devices, and the topics that they are in: the values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from typing import Any
from uuid import UUID

from posthouse.notifications.model import DeviceId, RecipientId, TopicId

MAX_DEVICES = 20
MAX_MEMBERS = 1_000


class DeviceKind(StrEnum):
    """The ways to a device."""

    FCM = "fcm"
    WEBPUSH = "webpush"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when until when nobody is disturbed, by the recipient's own clock."""

    start: time
    end: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a workspace knows of somebody."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient(Profile):
    """Somebody who is written to.

    `consent` grows with every change that may forbid a message or send it elsewhere; `version` with
    every change, for `If-Match`.
    """

    id: RecipientId
    workspace_id: UUID
    external_id: str
    is_stopped: bool
    consent: int
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Which recipients a list shows; `pattern` is a LIKE pattern over the own id and the name."""

    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What push messages of a recipient go to."""

    id: DeviceId
    recipient_id: RecipientId
    kind: DeviceKind
    token: str
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Topic:
    """A group of recipients that can be written to at once."""

    id: TopicId
    key: str
    name: str
    created_at: datetime
