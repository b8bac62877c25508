"""People who are written to: recipients, their devices, and the topics that they are in."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import UUID

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, NotFoundError, StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.consenting import settle
from posthouse.notifications.contacts import (
    MAX_DEVICES,
    Device,
    DeviceKind,
    Found,
    Profile,
    Recipient,
    Topic,
)
from posthouse.notifications.errors import (
    DeviceNotFoundError,
    ExternalIdTakenError,
    MembersUnknownError,
    RecipientNotFoundError,
    TooManyDevicesError,
    TopicNotFoundError,
)
from posthouse.notifications.model import DEVICE, RECIPIENT, DeviceId, RecipientId, TopicId
from posthouse.notifications.store import recipients as store
from posthouse.notifications.store import topics as topic_store

Wanted = RecipientId | str
"""A recipient by our id, or by the workspace's own."""


def read_wanted(text: str) -> Wanted:
    """Read how a caller names a recipient: `rcp_…`, or its own id.

    Raises:
        RecipientNotFoundError: it looks like an id of ours, but is none.
    """
    if not text.startswith(f"{RECIPIENT.name}_"):
        return text
    try:
        return RecipientId(RECIPIENT.read(text))
    except NotFoundError as error:
        raise RecipientNotFoundError from error


@dataclass(frozen=True, slots=True)
class Recipients:
    """Recipients: make them, change them, forget them."""

    db: Database

    async def make(
        self, principal: Principal, external_id: str | None, profile: Profile
    ) -> Recipient:
        """Make a recipient; without an own id it goes by ours.

        Raises:
            ExternalIdTakenError: another one has the id.
        """
        recipient_id = RecipientId(ids.fresh())
        name = external_id or RECIPIENT.show(recipient_id)
        async with self.db.begin() as tx:
            made = await store.insert(tx, principal.workspace_id, recipient_id, name, profile)
            if made is None:
                raise ExternalIdTakenError
            await audit.record(tx, principal, "recipient.made", RECIPIENT.show(made.id))
        return made

    async def put(
        self, principal: Principal, external_id: str, changes: Mapping[str, Any]
    ) -> tuple[Recipient, bool]:
        """Make a recipient, or replace what is known of the one with this own id.

        What it chose itself (quiet hours, unless they are among the changes, and preferences)
        stays. Gives the recipient, and whether it is new.

        Raises:
            RecipientNotFoundError: it was deleted in this moment; try again.
            UnavailableError: something is still being sent; the change stands.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            new_id = RecipientId(ids.fresh())
            made = await store.insert(tx, owner, new_id, external_id, Profile(**changes))
            if made is not None:
                await audit.record(tx, principal, "recipient.made", RECIPIENT.show(made.id))
                return made, True
            before = await self._expect(tx, principal, external_id, None)
            kept = Profile(quiet_hours=before.quiet_hours)
            saved = await self._save(tx, principal, before, replace(kept, **changes))
        await self._settle(before, saved)
        return saved, False

    async def find(self, principal: Principal, wanted: Wanted) -> Recipient:
        """Find a recipient.

        Raises:
            RecipientNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            found = await store.find(connection, principal.workspace_id, wanted)
        if found is None:
            raise RecipientNotFoundError
        return found

    async def page(self, principal: Principal, wanted: Found, keyset: Keyset) -> list[Recipient]:
        """Read one page, newest first, and one more."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, wanted, keyset)

    async def edit(
        self,
        principal: Principal,
        wanted: Wanted,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Recipient:
        """Change what `changes` names: fields of `Profile`.

        Raises:
            RecipientNotFoundError: there is none.
            StaleError: it has another version than `version`.
            UnavailableError: something is still being sent; the change stands.
        """
        async with self.db.begin() as tx:
            before = await self._expect(tx, principal, wanted, version)
            saved = await self._save(tx, principal, before, replace(_profile(before), **changes))
        await self._settle(before, saved)
        return saved

    async def erase(
        self, principal: Principal, wanted: Wanted, *, version: int | None = None
    ) -> None:
        """Forget somebody: the person, the devices, the choices, and to whom messages went.

        What waits is cancelled. Messages stay as numbers; suppressed addresses stay suppressed.

        Raises:
            RecipientNotFoundError: there is none.
            StaleError: it has another version than `version`.
            UnavailableError: something is still being sent; it is forgotten all the same.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            before = await self._expect(tx, principal, wanted, version)
            await store.delete(tx, owner, before.id)
            under_way, notifications = await store.forget_deliveries(tx, owner, before.id)
            await store.forget_data(tx, owner, notifications)
            await audit.record(tx, principal, "recipient.erased", RECIPIENT.show(before.id))
        if under_way:
            await settle(self.db, owner, deliveries=under_way)

    async def _expect(
        self, tx: Tx, principal: Principal, wanted: Wanted, version: int | None
    ) -> Recipient:
        found = await store.find(tx, principal.workspace_id, wanted, lock=True)
        if found is None:
            raise RecipientNotFoundError
        if version is not None and version != found.version:
            raise StaleError(f"It has version {found.version} now.")
        return found

    async def _save(
        self, tx: Tx, principal: Principal, before: Recipient, profile: Profile
    ) -> Recipient:
        saved = await store.update(tx, before.workspace_id, before.id, profile)
        if saved is None:
            raise RecipientNotFoundError
        await audit.record(tx, principal, "recipient.edited", RECIPIENT.show(saved.id))
        return saved

    async def _settle(self, before: Recipient, saved: Recipient) -> None:
        if saved.consent != before.consent:
            await settle(self.db, saved.workspace_id, recipient_id=saved.id)


def _profile(recipient: Recipient) -> Profile:
    return Profile(**{one.name: getattr(recipient, one.name) for one in fields(Profile)})


@dataclass(frozen=True, slots=True)
class Devices:
    """Devices of recipients."""

    db: Database

    async def add(
        self,
        principal: Principal,
        wanted: Wanted,
        kind: DeviceKind,
        token: Mapping[str, Any] | str,
        *,
        name: str | None = None,
    ) -> Device:
        """Add a device; one that somebody else has moves to this recipient. Safe to repeat.

        Raises:
            RecipientNotFoundError: there is no such recipient.
            TooManyDevicesError: the recipient has 20 already.
            UnavailableError: something is still being sent to who had it; the change stands.
        """
        owner = principal.workspace_id
        text = token if isinstance(token, str) else json.dumps(token, sort_keys=True)
        # A browser's subscription is one by its endpoint, whatever its keys are.
        unique = token if isinstance(token, str) else str(token["endpoint"])
        digest = hashlib.sha256(f"{kind} {unique}".encode()).digest()
        async with self.db.begin() as tx:
            recipient = await store.find(tx, owner, wanted, lock=True)
            if recipient is None:
                raise RecipientNotFoundError
            holder = await store.holder(tx, owner, digest)
            if holder != recipient.id:
                if await store.count_devices(tx, owner, recipient.id) >= MAX_DEVICES:
                    raise TooManyDevicesError(f"One recipient has at most {MAX_DEVICES} devices.")
                if holder is not None:
                    await store.raise_consent(tx, owner, [holder])
            new_id = DeviceId(ids.fresh())
            new = Device(new_id, recipient.id, kind, text, name, recipient.created_at)
            device = await store.add_device(tx, owner, new, digest)
            subject, detail = RECIPIENT.show(recipient.id), {"device": DEVICE.show(device.id)}
            await audit.record(tx, principal, "device.added", subject, detail)
        if holder is not None and holder != recipient.id:
            await settle(self.db, owner, recipient_id=holder)
        return device

    async def page(self, principal: Principal, wanted: Wanted, keyset: Keyset) -> list[Device]:
        """Read one page of somebody's devices, newest first, and one more.

        Raises:
            RecipientNotFoundError: there is no such recipient.
        """
        async with self.db.read() as connection:
            recipient = await store.find(connection, principal.workspace_id, wanted)
            if recipient is None:
                raise RecipientNotFoundError
            return await store.devices(connection, principal.workspace_id, recipient.id, keyset)

    async def delete(self, principal: Principal, wanted: Wanted, device_id: DeviceId) -> None:
        """Delete a device; nothing is sent to it any more.

        Raises:
            RecipientNotFoundError: there is no such recipient.
            DeviceNotFoundError: the recipient has no such device.
            UnavailableError: something is still being sent; the device is gone.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            recipient = await store.find(tx, owner, wanted, lock=True)
            if recipient is None:
                raise RecipientNotFoundError
            if not await store.drop_device(tx, owner, recipient.id, device_id):
                raise DeviceNotFoundError
            await store.raise_consent(tx, owner, [recipient.id])
            subject, detail = RECIPIENT.show(recipient.id), {"device": DEVICE.show(device_id)}
            await audit.record(tx, principal, "device.deleted", subject, detail)
        await settle(self.db, owner, recipient_id=recipient.id)


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics, and who is in them."""

    db: Database

    async def put(self, principal: Principal, key: str, name: str) -> Topic:
        """Make a topic, or name the one that has this key."""
        async with self.db.begin() as tx:
            topic_id = TopicId(ids.fresh())
            topic = await topic_store.put(tx, principal.workspace_id, topic_id, key, name)
            await audit.record(tx, principal, "topic.saved", key)
        return topic

    async def page(self, principal: Principal, keyset: Keyset) -> list[Topic]:
        """Read one page of topics by key, and one more."""
        async with self.db.read() as connection:
            return await topic_store.page(connection, principal.workspace_id, keyset)

    async def find(self, principal: Principal, key: str) -> Topic:
        """Find a topic.

        Raises:
            TopicNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            return await self._expect(connection, principal.workspace_id, key)

    async def delete(self, principal: Principal, key: str) -> None:
        """Delete a topic; the recipients stay.

        Raises:
            TopicNotFoundError: there is none.
        """
        async with self.db.begin() as tx:
            if not await topic_store.delete(tx, principal.workspace_id, key):
                raise TopicNotFoundError
            await audit.record(tx, principal, "topic.deleted", key)

    async def add(self, principal: Principal, key: str, members: Sequence[str]) -> int:
        """Put recipients into a topic, all or none; give how many were not in it.

        Raises:
            TopicNotFoundError: there is no such topic.
            MembersUnknownError: some recipients are not there.
        """
        return await self._change(principal, key, members, topic_store.add, "members-added")

    async def remove(self, principal: Principal, key: str, members: Sequence[str]) -> int:
        """Take recipients out of a topic, all or none; give how many were in it.

        Raises:
            TopicNotFoundError: there is no such topic.
            MembersUnknownError: some recipients are not there.
        """
        return await self._change(principal, key, members, topic_store.remove, "members-removed")

    async def _change(
        self,
        principal: Principal,
        key: str,
        members: Sequence[str],
        change: Callable[[Tx, UUID, TopicId, Sequence[RecipientId]], Awaitable[int]],
        what: str,
    ) -> int:
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            topic = await self._expect(tx, owner, key)
            found = await _members(tx, owner, members)
            count = await change(tx, owner, topic.id, found)
            await audit.record(tx, principal, f"topic.{what}", key, {"count": count})
        return count

    async def members(
        self, principal: Principal, key: str, keyset: Keyset
    ) -> list[tuple[RecipientId, str, str | None]]:
        """Read one page of who is in a topic, and one more: `[(id, external_id, name)]`.

        Raises:
            TopicNotFoundError: there is no such topic.
        """
        owner = principal.workspace_id
        async with self.db.read() as connection:
            topic = await self._expect(connection, owner, key)
            return await topic_store.members(connection, owner, topic.id, keyset)

    async def _expect(self, tx: Tx, workspace_id: UUID, key: str) -> Topic:
        topic = await topic_store.find(tx, workspace_id, key)
        if topic is None:
            raise TopicNotFoundError
        return topic


async def _members(tx: Tx, workspace_id: UUID, texts: Sequence[str]) -> list[RecipientId]:
    """The recipients that are named, by our ids or their own.

    Raises:
        MembersUnknownError: some are not there; `fields` names the first twenty.
    """
    wanted: dict[int, Wanted] = {}
    for place, text in enumerate(texts):
        try:
            wanted[place] = read_wanted(text)
        except RecipientNotFoundError:
            continue
    by_id = [one for one in wanted.values() if not isinstance(one, str)]
    by_name = [one for one in wanted.values() if isinstance(one, str)]
    found = await store.known(tx, workspace_id, by_id, by_name)
    known: dict[Wanted, RecipientId] = {}
    for recipient_id, name in found:
        known[recipient_id] = known[name] = recipient_id
    unknown = [place for place in range(len(texts)) if wanted.get(place) not in known]
    if unknown:
        words = "there is no such recipient"
        raise MembersUnknownError(
            fields=[FieldProblem(f"body.recipients.{at}", "unknown", words) for at in unknown[:20]]
        )
    return sorted({known[one] for one in wanted.values()})
