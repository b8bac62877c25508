"""Receipts: providers tell us what became of messages, once, twice, late and in any order."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import NotFoundError
from posthouse.notifications.channels.protocol import Call
from posthouse.notifications.channels.sesreceipts import Certificates, Fetch
from posthouse.notifications.errors import (
    BadSignatureError,
    ProviderInvalidError,
    SecretsUnreadableError,
)
from posthouse.notifications.masking import conceal
from posthouse.notifications.model import PROVIDER, ReceiptKind, Told
from posthouse.notifications.providing import Providers
from posthouse.notifications.store import notifications as notification_store
from posthouse.notifications.store import outgoing as outgoing_store
from posthouse.notifications.store import receipts as store

PARKED_HOURS = 24


@dataclass(frozen=True, slots=True)
class Receiving:
    """Takes in what providers tell; `certificates` fetches those that they sign with."""

    db: Database
    providers: Providers
    certificates: Fetch | None = None
    _kept: dict[str, bytes] = field(default_factory=dict[str, bytes], init=False)

    async def receive(self, provider: str, call: Call) -> int:
        """Check a call and apply what it tells; gives how much of it was new.

        Raises:
            BadSignatureError: no provider of ours has signed it, or there is none of this id.
            ReceiptInvalidError: it is signed, but cannot be read.
        """
        try:
            provider_id = PROVIDER.read(provider)
        except NotFoundError as error:
            raise BadSignatureError from error
        found = await self.providers.callers(provider_id)
        if found is None or found[1].receive is None:
            raise BadSignatureError
        setup, kind = found
        assert kind.receive is not None  # noqa: S101  for the type checker
        try:
            options, secrets = self.providers.read(setup)
        except (ProviderInvalidError, SecretsUnreadableError) as error:
            raise BadSignatureError from error
        around = self.providers.surroundings(setup.id)
        around = replace(around, fetch=self.certificates or Certificates(around, self._kept))
        receipts = await kind.receive(options, secrets, around).read(call)
        new = 0
        async with self.db.begin() as tx:
            told: list[Told] = []
            for given in receipts:
                receipt = replace(given, detail=conceal(given.detail))
                is_new, delivery_id = await store.take(tx, setup.workspace_id, setup.id, receipt)
                new += is_new
                if is_new and delivery_id is not None:
                    told.append(Told(receipt, delivery_id))
            await apply(tx, told)
        return new


async def apply(tx: Tx, told: Sequence[Told]) -> list[UUID]:
    """Let deliveries be what was told of them, and stop bad addresses; gives the notifications."""
    changed: list[UUID] = []
    for one in store.in_order(told):
        notification_id = await store.apply(tx, one)
        if notification_id is not None:
            changed.append(notification_id)
        is_complaint = one.receipt.kind is ReceiptKind.COMPLAINED
        if one.receipt.is_address_bad or is_complaint:
            await _suppress(tx, one, "complained" if is_complaint else "bounced")
    if changed:
        await notification_store.end(tx, changed)
    return changed


async def match_parked(tx: Tx) -> list[UUID]:
    """Apply receipts that came before the answer that they belong to; gives the notifications.

    Those that belong to nothing after a day are forgotten. Safe to repeat.
    """
    changed = await apply(tx, await store.match(tx))
    await store.forget(tx, PARKED_HOURS)
    return changed


async def _suppress(tx: Tx, told: Told, reason: str) -> None:
    found = await store.address(tx, told.delivery_id)
    if found is not None:
        await outgoing_store.suppress(tx, [(*found, reason, told.receipt.code)])
