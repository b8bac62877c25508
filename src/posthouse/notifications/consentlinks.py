"""Addresses by which people unsubscribe or choose, without an account; nobody can make one up."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from posthouse.kernel.errors import NotFoundError
from posthouse.kernel.signing import Signer
from posthouse.notifications.model import Channel, RecipientId

UNSUBSCRIBE = "/-/unsubscribe"
PREFERENCES = "/-/preferences"


class Purpose(StrEnum):
    """What an address is good for."""

    UNSUBSCRIBE = "u"
    PREFERENCES = "p"


def unsubscribe_headers(url: str) -> tuple[tuple[str, str], ...]:
    """The headers of an email by which a mail program unsubscribes in one click (RFC 8058)."""
    return (
        ("List-Unsubscribe", f"<{url}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


@dataclass(frozen=True, slots=True)
class Consent:
    """Whom an address speaks of: a recipient, or an address that belongs to nobody we know."""

    workspace_id: UUID
    channel: Channel | None = None
    category: str = ""
    recipient_id: RecipientId | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class ConsentLinks:
    """Writes and reads such addresses; `signer` is that of the purpose `consent`."""

    signer: Signer
    base: str

    def unsubscribe_url(
        self,
        workspace_id: UUID,
        channel: Channel,
        category: str,
        *,
        recipient_id: RecipientId | None = None,
        address: str | None = None,
    ) -> str:
        """The address for `List-Unsubscribe` (RFC 8058), of a recipient or of a bare address."""
        consent = Consent(workspace_id, channel, category, recipient_id, address)
        return self._url(UNSUBSCRIBE, Purpose.UNSUBSCRIBE, consent)

    def preferences_url(self, workspace_id: UUID, recipient_id: RecipientId) -> str:
        """The address of a recipient's page of preferences."""
        consent = Consent(workspace_id, recipient_id=recipient_id)
        return self._url(PREFERENCES, Purpose.PREFERENCES, consent)

    def read(self, purpose: Purpose, token: str) -> Consent:
        """Read what `unsubscribe_url` or `preferences_url` put into an address.

        Raises:
            NotFoundError: it was not made here, was changed, or is for another purpose.
        """
        payload = self.signer.unseal(token)
        found: list[Any] = [] if payload is None else json.loads(payload)
        if not found or found[0] != purpose:
            raise NotFoundError
        _, workspace, channel, category, recipient, address = found
        return Consent(
            workspace_id=UUID(workspace),
            channel=Channel(channel) if channel else None,
            category=category,
            recipient_id=RecipientId(UUID(recipient)) if recipient else None,
            address=address or None,
        )

    def _url(self, path: str, purpose: Purpose, consent: Consent) -> str:
        said = [
            purpose,
            consent.workspace_id.hex,
            consent.channel or "",
            consent.category,
            consent.recipient_id.hex if consent.recipient_id else "",
            consent.address or "",
        ]
        return f"{self.base.rstrip('/')}{path}/{self.signer.seal(to_json(said))}"
