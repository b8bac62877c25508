"""What people want: categories, preferences, suppressions; and nothing is sent after a no."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from posthouse.kernel import audit
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, StaleError, UnavailableError
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.choices import (
    Category,
    Key,
    Preferences,
    Reason,
    Suppression,
    general,
    suppressed_form,
)
from posthouse.notifications.consentlinks import Consent
from posthouse.notifications.contacts import Recipient
from posthouse.notifications.errors import (
    CategoryFixedError,
    CategoryNotFoundError,
    PreferencesInvalidError,
    RecipientNotFoundError,
    SuppressionNotFoundError,
)
from posthouse.notifications.model import GENERAL, RECIPIENT, Channel, RecipientId
from posthouse.notifications.store import consents as store
from posthouse.notifications.store import recipients as recipient_store

_LOOK_S = 0.02
_WAIT_S = 20.0
_MOST_CATEGORIES = 1_000


async def settle(
    db: Database,
    workspace_id: UUID,
    *,
    recipient_id: RecipientId | None = None,
    channel: Channel | None = None,
    address: str | None = None,
    deliveries: Sequence[UUID] = (),
) -> None:
    """Wait until nothing is being sent that a change, committed before, forbids.

    It is for a recipient (all channels, or one), for an address of a channel, or for some
    deliveries. Whoever begins to send after this has seen the change.

    Raises:
        UnavailableError: something is still being sent after 20 seconds; the change stands.
        RuntimeError: the change is not committed yet.
    """
    if db.is_open:
        raise RuntimeError("settle inside of a transaction")
    async with db.begin() as tx:
        await store.take_turn(tx)

    async def is_under_way() -> bool:
        async with db.read() as connection:
            if deliveries:
                return await store.are_under_way(connection, workspace_id, deliveries)
            if recipient_id is not None:
                return await store.is_under_way(connection, workspace_id, recipient_id, channel)
            if channel is None or address is None:
                return False
            return await store.is_under_way_to(connection, workspace_id, channel, address)

    try:
        async with asyncio.timeout(_WAIT_S):
            # Workers are other processes; no event of theirs comes here.
            while await is_under_way():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise UnavailableError(
            "It is noted, but a message that was on its way before has not ended yet.",
            retry_after_s=5,
        ) from error


@dataclass(frozen=True, slots=True)
class Consents:
    """Categories, preferences and suppressions."""

    db: Database

    async def put_category(
        self, principal: Principal, wanted: Category, *, version: int | None = None
    ) -> Category:
        """Make a category, or change the one that has this key.

        Raises:
            StaleError: it has another version than `version`.
            CategoryFixedError: it is `general` and would become critical.
        """
        if wanted.key == GENERAL and wanted.is_critical:
            raise CategoryFixedError("general cannot be critical: what names no category is in it.")
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            before = await store.find_category(tx, owner, wanted.key)
            if before is None and version:  # 0 is that of `general` before it is made
                raise StaleError("There is no such category yet.")
            saved = await store.put_category(tx, owner, wanted, version)
            if saved is None:
                raise StaleError
            if before is not None and before.is_critical and not saved.is_critical:
                await store.raise_refusers(tx, owner, wanted.key)
            await audit.record(tx, principal, "category.saved", wanted.key)
        return saved

    async def find_category(self, principal: Principal, key: str) -> Category:
        """Find a category; `general` is always there.

        Raises:
            CategoryNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            found = await store.find_category(connection, principal.workspace_id, key)
        if found is None and key == GENERAL:
            return general()
        if found is None:
            raise CategoryNotFoundError
        return found

    async def named(self, workspace_id: UUID, key: str) -> Category | None:
        """The category of a message that was sent; None if it is no more, or was never made."""
        async with self.db.read() as connection:
            return await store.find_category(connection, workspace_id, key)

    async def categories(self, principal: Principal, keyset: Keyset) -> list[Category]:
        """Read one page of categories by key, and one more."""
        after = str(keyset.after[0]) if keyset.after else None
        async with self.db.read() as connection:
            found = await self._categories(
                connection, principal.workspace_id, after, keyset.limit + 1
            )
        return found[: keyset.limit + 1]

    async def _categories(
        self, tx: Tx, workspace_id: UUID, after: str | None = None, limit: int = _MOST_CATEGORIES
    ) -> list[Category]:
        found = await store.categories(tx, workspace_id, after, limit)
        is_wanted = after is None or after < GENERAL
        if is_wanted and all(one.key != GENERAL for one in found):
            found = sorted([*found, general()], key=lambda one: one.key)
        return found

    async def delete_category(
        self, principal: Principal, key: str, *, version: int | None = None
    ) -> None:
        """Delete a category; what people chose for it counts again if it is made again.

        Raises:
            CategoryNotFoundError: there is none.
            CategoryFixedError: it is `general`.
            StaleError: it has another version than `version`.
        """
        if key == GENERAL:
            raise CategoryFixedError("general is always there.")
        async with self.db.begin() as tx:
            if await store.find_category(tx, principal.workspace_id, key) is None:
                raise CategoryNotFoundError
            if not await store.delete_category(tx, principal.workspace_id, key, version):
                raise StaleError
            await audit.record(tx, principal, "category.deleted", key)

    async def preferences(
        self, workspace_id: UUID, wanted: RecipientId | str
    ) -> tuple[Recipient, Preferences, list[Category]]:
        """What a recipient chose, for the categories that there are.

        Raises:
            RecipientNotFoundError: there is no such recipient.
        """
        async with self.db.begin() as tx:
            recipient = await recipient_store.find(tx, workspace_id, wanted)
            if recipient is None:
                raise RecipientNotFoundError
            categories = await self._categories(tx, workspace_id)
            choices = await store.choices(tx, workspace_id, recipient.id)
        known = {one.key for one in categories}
        kept = {key: is_on for key, is_on in choices.items() if key[0] in known}
        return recipient, Preferences(recipient.is_stopped, recipient.quiet_hours, kept), categories

    async def choose(
        self,
        workspace_id: UUID,
        wanted: RecipientId | str,
        chosen: Preferences,
        *,
        principal: Principal | None = None,
        version: int | None = None,
    ) -> Recipient:
        """Write all preferences of a recipient, and answer when nothing against them is under way.

        Raises:
            RecipientNotFoundError: there is no such recipient.
            StaleError: the recipient has another version than `version`.
            PreferencesInvalidError: a category is not known, or critical and switched off.
            UnavailableError: something is still being sent; the choice stands.
        """
        async with self.db.begin() as tx:
            recipient = await recipient_store.find(tx, workspace_id, wanted, lock=True)
            if recipient is None:
                raise RecipientNotFoundError
            if version is not None and version != recipient.version:
                raise StaleError(f"It has version {recipient.version} now.")
            categories = await self._categories(tx, workspace_id)
            _require_choosable(chosen.choices, categories)
            keys = [one.key for one in categories]
            await store.clear_choices(tx, workspace_id, recipient.id, keys)
            await store.put_choices(tx, workspace_id, recipient.id, chosen.choices)
            saved = await recipient_store.choose(
                tx,
                workspace_id,
                recipient.id,
                chosen.quiet_hours,
                is_stopped=chosen.is_stopped,
            )
            if saved is None:
                raise RecipientNotFoundError
            if principal is not None:
                subject = RECIPIENT.show(saved.id)
                await audit.record(tx, principal, "preferences.saved", subject)
        await settle(self.db, workspace_id, recipient_id=saved.id)
        return saved

    async def unsubscribe(self, consent: Consent) -> None:
        """Do what an unsubscribe address says; safe to repeat, and for somebody who is gone.

        Raises:
            UnavailableError: something is still being sent; the change stands.
        """
        owner, channel = consent.workspace_id, consent.channel
        if channel is None:
            return
        async with self.db.begin() as tx:
            if consent.recipient_id is not None:
                found = await recipient_store.find(tx, owner, consent.recipient_id, lock=True)
                if found is None:
                    return
                choice = {(consent.category, channel.value): False}
                await store.put_choices(tx, owner, found.id, choice)
                await recipient_store.raise_consent(tx, owner, [found.id])
            elif consent.address:
                form = suppressed_form(channel, consent.address)
                new = Suppression(channel, form, consent.category, Reason.UNSUBSCRIBED)
                await store.suppress(tx, owner, new)
        address = suppressed_form(channel, consent.address) if consent.address else None
        await settle(
            self.db, owner, recipient_id=consent.recipient_id, channel=channel, address=address
        )

    async def suppress(self, principal: Principal, new: Suppression) -> Suppression:
        """Note that an address must not be used; safe to repeat.

        Raises:
            UnavailableError: something is still being sent to it; the change stands.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            saved = await store.suppress(tx, owner, new)
            detail = {"channel": new.channel, "reason": new.reason}
            await audit.record(tx, principal, "suppression.made", new.channel, detail)
        await settle(self.db, owner, channel=new.channel, address=new.address)
        return saved

    async def unsuppress(
        self, principal: Principal, channel: Channel, address: str, category: str
    ) -> None:
        """Let an address be used again.

        Raises:
            SuppressionNotFoundError: it is not suppressed for this.
        """
        async with self.db.begin() as tx:
            owner, form = principal.workspace_id, suppressed_form(channel, address)
            if not await store.unsuppress(tx, owner, channel, form, category):
                raise SuppressionNotFoundError
            await audit.record(tx, principal, "suppression.removed", channel)

    async def suppressions(
        self,
        principal: Principal,
        wanted: tuple[Channel | None, Reason | None, str | None],
        keyset: Keyset,
    ) -> list[Suppression]:
        """Read one page of suppressions, and one more; `wanted`: channel, reason, address."""
        async with self.db.read() as connection:
            return await store.suppressions(connection, principal.workspace_id, wanted, keyset)


def _require_choosable(chosen: Mapping[Key, bool], categories: Sequence[Category]) -> None:
    """Go on if there are these categories, and none that is off is critical.

    Raises:
        PreferencesInvalidError: it is otherwise.
    """
    known = {one.key: one for one in categories}
    problems: list[FieldProblem] = []
    for (key, channel), is_on in chosen.items():
        field = f"body.categories.{key}.{channel or 'all'}"
        if key not in known:
            problems.append(FieldProblem(field, "unknown-category", "there is no such category"))
        elif known[key].is_critical and not is_on:
            words = f"{known[key].name} is critical and cannot be switched off"
            problems.append(FieldProblem(field, "critical-category", words))
    if problems:
        raise PreferencesInvalidError(fields=problems[:20])
