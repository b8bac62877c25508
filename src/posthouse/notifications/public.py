"""The front door of notifications."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.kernel.auth import Principal
from posthouse.notifications.choices import Category
from posthouse.notifications.consenting import Consents
from posthouse.notifications.emails import parse_email
from posthouse.notifications.errors import (
    CategoryNotFoundError,
    ChannelNotConfiguredError,
    TemplateNotFoundError,
)
from posthouse.notifications.masking import mask
from posthouse.notifications.model import (
    RECIPIENT,
    Channel,
    NotificationId,
    RecipientId,
    Target,
    TargetKind,
    Wanted,
)
from posthouse.notifications.service import Notifications

__all__ = [
    "RECIPIENT", "Channel", "ChannelNotConfiguredError", "NotificationsDoor", "RecipientId",
    "Target", "TargetKind", "TemplateNotFoundError", "Wanted", "mask", "parse_email",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class NotificationsDoor:
    """What other slices may ask of notifications; in `db.begin()` it joins their transaction."""

    notifications: Notifications
    consents: Consents

    async def send(self, principal: Principal, items: Sequence[Wanted]) -> list[NotificationId]:
        """Accept notifications, all of them or none.

        Raises:
            NotificationInvalidError: one of them cannot be sent.
            ChannelNotConfiguredError: nothing is set up that could send one.
            TemplateNotFoundError: there is no such template.
        """
        return await self.notifications.send(principal, items)

    async def ensure_category(self, principal: Principal, key: str, name: str) -> None:
        """Make a category unless there is one of that key."""
        try:
            await self.consents.find_category(principal, key)
        except CategoryNotFoundError:
            await self.consents.put_category(principal, Category(key, name))

    async def find_recipient(self, principal: Principal, text: str) -> RecipientId | None:
        """The recipient of that id, ours or the caller's."""
        return await self.notifications.find_recipient(principal, text)
