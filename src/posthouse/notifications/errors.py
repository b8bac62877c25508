"""What can go wrong with notifications."""

from collections.abc import Sequence
from typing import ClassVar

from posthouse.kernel.errors import (
    FieldProblem,
    InvalidInputError,
    Kind,
    NotFoundError,
    PosthouseError,
)


class NotificationNotFoundError(NotFoundError):
    """There is no such notification in this workspace."""

    code: ClassVar[str] = "notification-not-found"
    title: ClassVar[str] = "There is no such notification"


class DeliveryNotFoundError(NotFoundError):
    """There is no such delivery in this workspace."""

    code: ClassVar[str] = "delivery-not-found"
    title: ClassVar[str] = "There is no such delivery"


class RecipientNotFoundError(NotFoundError):
    """There is no such recipient in this workspace."""

    code: ClassVar[str] = "recipient-not-found"
    title: ClassVar[str] = "There is no such recipient"


class DeviceNotFoundError(NotFoundError):
    """There is no such device of this recipient."""

    code: ClassVar[str] = "device-not-found"
    title: ClassVar[str] = "There is no such device"


class TopicNotFoundError(NotFoundError):
    """There is no such topic in this workspace."""

    code: ClassVar[str] = "topic-not-found"
    title: ClassVar[str] = "There is no such topic"


class CategoryNotFoundError(NotFoundError):
    """There is no such category in this workspace."""

    code: ClassVar[str] = "category-not-found"
    title: ClassVar[str] = "There is no such category"


class TemplateNotFoundError(NotFoundError):
    """There is no such template, layout or version in this workspace."""

    code: ClassVar[str] = "template-not-found"
    title: ClassVar[str] = "There is no such template"


class ProviderNotFoundError(NotFoundError):
    """There is no such provider in this workspace."""

    code: ClassVar[str] = "provider-not-found"
    title: ClassVar[str] = "There is no such provider"


class NotificationInvalidError(InvalidInputError):
    """The message cannot be sent as it is; `fields` says why."""

    code: ClassVar[str] = "notification-invalid"
    title: ClassVar[str] = "This cannot be sent"


class ChannelNotConfiguredError(InvalidInputError):
    """No provider of this channel is set up."""

    code: ClassVar[str] = "channel-not-configured"
    title: ClassVar[str] = "No provider is set up for this channel"


class TemplateInvalidError(InvalidInputError):
    """A template does not compile, or does what templates may not."""

    code: ClassVar[str] = "template-invalid"
    title: ClassVar[str] = "The template cannot be used"


class TemplateVariableMissingError(InvalidInputError):
    """The data lacks what the template needs, or breaks its schema."""

    code: ClassVar[str] = "template-variable-missing"
    title: ClassVar[str] = "The data does not fit the template"


class RenderBudgetError(InvalidInputError):
    """Rendering needs more steps or gives more text than it may."""

    code: ClassVar[str] = "render-budget"
    title: ClassVar[str] = "The template needs too much"


class NotStoppableError(PosthouseError):
    """It is too late: nothing of it waits any more."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "not-stoppable"
    title: ClassVar[str] = "Nothing of it waits any more"


class NotRepeatableError(PosthouseError):
    """It has not ended, or there is nothing to send again."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "not-repeatable"
    title: ClassVar[str] = "There is nothing to send again"


class SmsCountryRefusedError(InvalidInputError):
    """The number lies in a country that the provider does not list."""

    code: ClassVar[str] = "sms-country-refused"
    title: ClassVar[str] = "No text messages go to this country"


class SmsBudgetExhaustedError(PosthouseError):
    """The workspace, or one range of numbers, has had its text messages of today."""

    kind: ClassVar[Kind] = Kind.RATE_LIMITED
    code: ClassVar[str] = "sms-budget-exhausted"
    title: ClassVar[str] = "Today's text messages are used up"


class BadSignatureError(PosthouseError):
    """The call is not signed by who it says it is from, or is too old."""

    kind: ClassVar[Kind] = Kind.UNAUTHENTICATED
    code: ClassVar[str] = "bad-signature"
    title: ClassVar[str] = "The signature is not right"


class ReceiptInvalidError(InvalidInputError):
    """A signed call of a provider that cannot be read."""

    code: ClassVar[str] = "receipt-invalid"
    title: ClassVar[str] = "The call cannot be read"


class NameTakenError(PosthouseError):
    """Another one of this workspace has this name."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "name-taken"
    title: ClassVar[str] = "This name is taken"


class EmailInvalidError(InvalidInputError):
    """Something cannot be written into an email: an address, a header, the name of a file."""

    code: ClassVar[str] = "email-invalid"
    title: ClassVar[str] = "This cannot be written into an email"

    def __init__(self, field: str, message: str) -> None:
        """Say which input it is and why."""
        super().__init__(message, fields=[FieldProblem(field, self.code, message)])


class ProviderInvalidError(InvalidInputError):
    """The options or secrets of a provider cannot be used; `fields` says why."""

    code: ClassVar[str] = "provider-invalid"
    title: ClassVar[str] = "The provider cannot be set up like this"

    def __init__(
        self, field: str = "", message: str = "", problems: Sequence[FieldProblem] = ()
    ) -> None:
        """Say which input it is and why, or what is wrong with several."""
        fields = list(problems) or [FieldProblem(field, self.code, message)]
        super().__init__(message, fields=fields)


class SecretsUnreadableError(PosthouseError):
    """The secrets of a provider were sealed with another POSTHOUSE_SECRET, or changed."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "secrets-unreadable"
    title: ClassVar[str] = "The provider's secrets cannot be read; give them again"


class CategoryFixedError(PosthouseError):
    """The category `general` cannot be deleted or made critical."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "category-fixed"
    title: ClassVar[str] = "This category stays as it is"


class PreferencesInvalidError(InvalidInputError):
    """A choice that cannot be made; `fields` names each."""

    code: ClassVar[str] = "preferences-invalid"
    title: ClassVar[str] = "This cannot be chosen"


class SuppressionNotFoundError(NotFoundError):
    """The address is not suppressed for this."""

    code: ClassVar[str] = "suppression-not-found"
    title: ClassVar[str] = "There is no such suppression"


class ExternalIdTakenError(PosthouseError):
    """Another recipient of this workspace has this own id."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "external-id-taken"
    title: ClassVar[str] = "Another recipient has this id"


class TooManyDevicesError(PosthouseError):
    """A recipient has as many devices as one may have."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "too-many-devices"
    title: ClassVar[str] = "There are too many devices"


class MembersUnknownError(InvalidInputError):
    """Some of the recipients are not there; `fields` names them."""

    code: ClassVar[str] = "members-unknown"
    title: ClassVar[str] = "Some recipients are not there"


class VersionNotFoundError(NotFoundError):
    """The template was never published with this number, or not at all."""

    code: ClassVar[str] = "version-not-found"
    title: ClassVar[str] = "There is no such version"


class TemplateUnpublishedError(InvalidInputError):
    """The template has only a draft, so nothing can be sent with it."""

    code: ClassVar[str] = "template-unpublished"
    title: ClassVar[str] = "The template is not published"


class InUseError(PosthouseError):
    """Something that has not ended needs it."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "in-use"
    title: ClassVar[str] = "It is still needed"
