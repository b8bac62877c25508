"""What the API of recipients, devices and topics takes and gives."""

import base64
import binascii
import json
from datetime import datetime, time
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from posthouse.kernel.patches import require_some
from posthouse.kernel.text import Name, Str, refuse_empty, tidy_name
from posthouse.notifications.contacts import (
    MAX_MEMBERS,
    Device,
    DeviceKind,
    QuietHours,
    Recipient,
    Topic,
)
from posthouse.notifications.emails import parse_email
from posthouse.notifications.locales import MAX_TAG, read_locale
from posthouse.notifications.model import DEVICE, RECIPIENT, RecipientId
from posthouse.notifications.phones import MAX_LENGTH as MAX_PHONE
from posthouse.notifications.phones import parse_phone
from posthouse.notifications.zones import is_zone

MAX_ATTRIBUTES = 16_384
_MAX_EMAIL = 254
_P256_POINT = 65
_AUTH_BYTES = 16
OWN_ID = r"^[A-Za-z0-9._:@+|=~-]{1,200}$"
KEY_PATTERN = "^[a-z0-9][a-z0-9._-]{0,62}$"


def _email(text: str) -> str:
    try:
        return parse_email(text)
    except ValueError as error:
        raise PydanticCustomError("email-invalid", "Not an email address") from error


def _phone(text: str) -> str:
    try:
        return parse_phone(text)
    except ValueError as error:
        words = "Give a telephone number with + and the country's code, such as +4930901820"
        raise PydanticCustomError("phone-invalid", words) from error


def _locale(text: str) -> str:
    found = read_locale(text)
    if found is None:
        raise PydanticCustomError("locale-invalid", "Give a tag of BCP 47, such as de-AT")
    return found


def _zone(text: str) -> str:
    if not is_zone(text):
        raise PydanticCustomError("timezone-invalid", "Give a zone of IANA, such as Europe/Vienna")
    return text


def _own_id(text: str) -> str:
    if text.startswith(f"{RECIPIENT.name}_"):
        raise PydanticCustomError("id-reserved", "Ids that begin with rcp_ are ours")
    return text


def storable(value: Any, most: int = MAX_ATTRIBUTES) -> Any:
    """Give a JSON value back if a database can hold it.

    Raises:
        PydanticCustomError: `invalid-character` or `too-large`.
    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PydanticCustomError("invalid-character", "It holds a lone surrogate") from error
    if "\\u0000" in text:
        raise PydanticCustomError("invalid-character", "It holds a NUL; remove it")
    if size > most:
        raise PydanticCustomError("too-large", "It has too many bytes")
    return value


Email = Annotated[Str, Field(max_length=_MAX_EMAIL, examples=["ann@example.com"]),
                  AfterValidator(_email)]  # fmt: skip
Phone = Annotated[Str, Field(max_length=MAX_PHONE, examples=["+4930901820"]),
                  AfterValidator(_phone)]  # fmt: skip
Locale = Annotated[Str, Field(max_length=MAX_TAG, examples=["de-AT"]), AfterValidator(_locale)]
Zone = Annotated[Str, Field(max_length=64, examples=["Europe/Vienna"]), AfterValidator(_zone)]
OwnId = Annotated[str, Field(pattern=OWN_ID), AfterValidator(_own_id)]
PersonName = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
Attributes = Annotated[dict[Str, Any], AfterValidator(storable)]
Token = Annotated[str, Field(min_length=10, max_length=4096, pattern=r"^[A-Za-z0-9_:.-]+$")]
TopicKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["news"])]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


class QuietHoursIn(BaseModel):
    """From when until when nobody is disturbed, by the recipient's own clock."""

    model_config = ConfigDict(extra="forbid")

    start: Clock = Field(validation_alias="from")
    end: Clock = Field(validation_alias="until")

    def value(self) -> QuietHours:
        """The same as a value."""
        return QuietHours(time.fromisoformat(self.start), time.fromisoformat(self.end))

    @model_validator(mode="after")
    def _last(self) -> Self:
        if self.start == self.end:
            raise PydanticCustomError("quiet-hours-invalid", "Quiet hours begin before they end")
        return self


class QuietHoursOut(BaseModel):
    """From when until when nobody is disturbed, by the recipient's own clock."""

    start: str = Field(serialization_alias="from", examples=["22:00"])
    end: str = Field(serialization_alias="until", examples=["07:00"])


def show_quiet(quiet: QuietHours | None) -> QuietHoursOut | None:
    """Say quiet hours as the API does."""
    if quiet is None:
        return None
    return QuietHoursOut(start=f"{quiet.start:%H:%M}", end=f"{quiet.end:%H:%M}")


class ProfileIn(BaseModel):
    """What is known of a recipient."""

    model_config = ConfigDict(extra="forbid")

    name: PersonName | None = None
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    timezone: Zone | None = None
    attributes: Attributes = Field(default_factory=dict[str, Any], description="At most 16 KiB.")
    quiet_hours: QuietHoursIn | None = None

    def changes(self) -> dict[str, Any]:
        """What was named, as `Profile` holds it."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        named.pop("external_id", None)
        if "quiet_hours" in named:
            named["quiet_hours"] = self.quiet_hours and self.quiet_hours.value()
        return named


class RecipientIn(ProfileIn):
    """A new recipient."""

    external_id: OwnId | None = Field(
        default=None, description="Your own id; without it the recipient goes by ours."
    )


class RecipientPatch(ProfileIn):
    """Changes to a recipient: what is absent stays, null clears it."""

    _something = model_validator(mode="after")(require_some)


class RecipientRow(BaseModel):
    """A recipient in a file to import; an absent cell changes nothing."""

    model_config = ConfigDict(extra="forbid")

    external_id: OwnId
    name: PersonName | None = None
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    timezone: Zone | None = None
    attributes: Attributes | None = None
    topics: Annotated[list[TopicKey], Field(max_length=50)] = []


class RecipientOut(BaseModel):
    """A recipient."""

    id: str
    external_id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    timezone: str | None
    attributes: dict[str, Any]
    quiet_hours: QuietHoursOut | None
    stopped: bool = Field(description="Nothing is sent but what is critical.")
    version: int
    created_at: datetime
    updated_at: datetime


class KeysIn(BaseModel):
    """The keys of a Web Push subscription (RFC 8291)."""

    model_config = ConfigDict(extra="forbid")

    p256dh: Annotated[str, Field(max_length=200)]
    auth: Annotated[str, Field(max_length=100)]


class SubscriptionIn(BaseModel):
    """A Web Push subscription as a browser gives it."""

    model_config = ConfigDict(extra="ignore")

    endpoint: Annotated[Str, Field(max_length=2000, examples=["https://push.example.com/a"])]
    keys: KeysIn

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not _is_https(self.endpoint):
            raise PydanticCustomError("endpoint-invalid", "The endpoint must be an https address")
        if _size_of(self.keys.p256dh) != _P256_POINT or _size_of(self.keys.auth) != _AUTH_BYTES:
            raise PydanticCustomError("keys-invalid", "p256dh has 65 bytes and auth 16, in base64")
        return self


def _is_https(address: str) -> bool:
    if not address.isascii() or any(character <= " " for character in address):
        return False
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and has_port


def _size_of(text: str) -> int:
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return len(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return -1


class DeviceIn(BaseModel):
    """A device: a token of FCM, or a Web Push subscription."""

    model_config = ConfigDict(extra="forbid")

    kind: DeviceKind
    token: Token | None = None
    subscription: SubscriptionIn | None = None
    name: PersonName | None = None

    def value(self) -> str | dict[str, Any]:
        """The token, or the subscription."""
        return self.token or "" if self.subscription is None else self.subscription.model_dump()

    @model_validator(mode="after")
    def _one(self) -> Self:
        is_fcm = self.kind is DeviceKind.FCM
        if (self.token is not None) != is_fcm or (self.subscription is not None) == is_fcm:
            words = "fcm has a token, and webpush a subscription"
            raise PydanticCustomError("device-invalid", words)
        return self


class DeviceOut(BaseModel):
    """A device; its token is not shown whole."""

    id: str
    kind: DeviceKind
    hint: str = Field(description="The end of the token, or the host of the subscription.")
    name: str | None
    created_at: datetime


class TopicIn(BaseModel):
    """A topic's name."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Name, Field(max_length=200)]


class TopicOut(BaseModel):
    """A topic."""

    key: str
    name: str
    created_at: datetime


class MembersIn(BaseModel):
    """Recipients by our ids or your own."""

    model_config = ConfigDict(extra="forbid")

    recipients: Annotated[
        list[Annotated[Str, Field(min_length=1, max_length=200)]],
        Field(min_length=1, max_length=MAX_MEMBERS),
    ]


class MembersChanged(BaseModel):
    """How many memberships changed."""

    changed: int


class MemberOut(BaseModel):
    """A recipient in a topic."""

    id: str
    external_id: str
    name: str | None


def show(recipient: Recipient) -> RecipientOut:
    """Say a recipient as the API does."""
    return RecipientOut(
        id=RECIPIENT.show(recipient.id),
        external_id=recipient.external_id,
        name=recipient.name,
        email=recipient.email,
        phone=recipient.phone,
        locale=recipient.locale,
        timezone=recipient.timezone,
        attributes=dict(recipient.attributes),
        quiet_hours=show_quiet(recipient.quiet_hours),
        stopped=recipient.is_stopped,
        version=recipient.version,
        created_at=recipient.created_at,
        updated_at=recipient.updated_at,
    )


def show_device(device: Device) -> DeviceOut:
    """Say a device as the API does."""
    if device.kind is DeviceKind.FCM:
        hint = f"…{device.token[-6:]}"
    else:
        endpoint: str = json.loads(device.token)["endpoint"]
        hint = urlsplit(endpoint).hostname or ""
    return DeviceOut(
        id=DEVICE.show(device.id),
        kind=device.kind,
        hint=hint,
        name=device.name,
        created_at=device.created_at,
    )


def show_topic(topic: Topic) -> TopicOut:
    """Say a topic as the API does."""
    return TopicOut(key=topic.key, name=topic.name, created_at=topic.created_at)


def show_member(member: tuple[RecipientId, str, str | None]) -> MemberOut:
    """Say who is in a topic as the API does."""
    recipient_id, external_id, name = member
    return MemberOut(id=RECIPIENT.show(recipient_id), external_id=external_id, name=name)
