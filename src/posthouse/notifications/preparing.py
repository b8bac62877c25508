"""Makes claimed messages ready to go out: reads the facts, asks the rules, renders.

What is the same for all messages of a notification is kept for a while.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from posthouse.files.public import FileUnknownError
from posthouse.kernel.db import Database, Row
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.leases import Lease
from posthouse.notifications.composing import Templates
from posthouse.notifications.consentlinks import ConsentLinks, unsubscribe_headers
from posthouse.notifications.deciding import Act, Case, Rule, decide
from posthouse.notifications.lanes import Going
from posthouse.notifications.model import (
    DELIVERY,
    Channel,
    Notification,
    Outgoing,
    Priority,
)
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.store import notifications as notification_store
from posthouse.notifications.store import outgoing as store
from posthouse.notifications.switchboard import Switchboard
from posthouse.notifications.templating import Compiled, compile_inline

_KEPT = 64
_CHUNK = 4
_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A notification with what all of its messages share."""

    notification: Notification
    compiled: Compiled
    names_preferences: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What may go out, each with its channel, and what becomes of the others."""

    going: list[tuple[Channel, Going]]
    settled: list[store.Settled]


@dataclass(slots=True)
class Preparing:
    """Prepares messages in batches."""

    db: Database
    board: Switchboard
    composing: Templates
    links: ConsentLinks
    renderer: Renderer = field(default_factory=Renderer)
    _loaded: OrderedDict[UUID, Loaded] = field(default_factory=OrderedDict[UUID, Loaded])

    async def prepare(self, leases: Sequence[Lease]) -> AsyncGenerator[Prepared]:
        """Decide about claimed messages, and render those that go out: some at a time.

        Raises:
            PosthouseError: the facts cannot be read now; the messages stay claimed.
        """
        await self.board.refresh(lease.workspace_id for lease in leases)
        problems = await self._load({lease.row["notification_id"] for lease in leases})
        async with self.db.read() as connection:
            facts = await store.brief(connection, [lease.id for lease in leases])
        for first in range(0, len(leases), _CHUNK):
            prepared = Prepared([], [])
            for lease in leases[first : first + _CHUNK]:
                loaded = self._loaded.get(lease.row["notification_id"])
                if loaded is None or lease.id not in facts:
                    error = problems.get(lease.row["notification_id"])
                    prepared.settled.append(put_off(lease, error))
                    continue
                self._one(prepared, lease, facts[lease.id], loaded)
            yield prepared
            await asyncio.sleep(0)  # rendering keeps the loop busy; others come between

    def _one(self, prepared: Prepared, lease: Lease, facts: Row, loaded: Loaded) -> None:
        """Put one message where it belongs; the time is the database's, as for all schedules."""
        channel = Channel(lease.row["channel"])
        address = current_address(lease.row, facts)
        case = self.case(lease.row, facts, loaded.notification, address, facts["now"])
        verdict = decide(case)
        if verdict.act is Act.SEND and address is not None:
            try:
                outgoing = self._outgoing(lease, facts, loaded, address, case)
            except PosthouseError as error:
                prepared.settled.append(_failed(lease, error))
                return
            going = Going(
                lease, outgoing, loaded.notification, facts["consent"], lease.row["device_id"]
            )
            prepared.going.append((channel, going))
            return
        settled = store.Settled(
            lease.id, lease.token, verdict.act, verdict.rule, verdict.words, verdict.until
        )
        if verdict.act is Act.WAIT:
            wait_s = max(1.0, self.board.wait_s(lease.workspace_id, channel))
            is_gone = verdict.rule is Rule.NO_PROVIDER
            delay_s = _WAIT_S if is_gone else min(_WAIT_S, wait_s)
            settled = replace(settled, state="held", delay_s=delay_s)
        prepared.settled.append(settled)

    def case(
        self,
        row: Row | Mapping[str, Any],
        facts: Row | Mapping[str, Any],
        notification: Notification,
        address: str | None,
        now: datetime,
    ) -> Case:
        """The facts of a message as the rules ask for them."""
        channel = Channel(row["channel"])
        return Case(
            now=now,
            channel=channel,
            category=row["category"],
            address=address,
            is_cancelled=notification.cancelled_at is not None,
            is_critical=facts["is_critical"],
            is_stopped=bool(facts["is_stopped"]),
            choice=facts["choice"],
            suppressed_for=facts["suppressed_for"],
            expires_at=row["expires_at"],
            quiet_from=facts["quiet_from"],
            quiet_until=facts["quiet_until"],
            timezone=facts["timezone"],
            routes=self.board.routes(row["workspace_id"], channel, address),
        )

    def _outgoing(
        self, lease: Lease, facts: Row, loaded: Loaded, address: str, case: Case
    ) -> Outgoing:
        row, notification = lease.row, loaded.notification
        recipient_id = row["recipient_id"]
        unsubscribe = self.links.unsubscribe_url(
            lease.workspace_id,
            case.channel,
            case.category,
            recipient_id=recipient_id,
            address=None if recipient_id else address,
        )
        variables = notification.data | {
            "recipient": recipient_of(facts),
            "links": notification.links,
            "unsubscribe_url": unsubscribe,
            "preferences_url": (
                self.links.preferences_url(lease.workspace_id, recipient_id)
                if recipient_id and loaded.names_preferences
                else unsubscribe
            ),
        }
        content = self.renderer.render(loaded.compiled, case.channel, facts["locale"], variables)
        headers: tuple[tuple[str, str], ...] = ()
        if case.channel is Channel.EMAIL and not case.is_critical:
            headers = unsubscribe_headers(unsubscribe)
        return Outgoing(
            key=DELIVERY.show(lease.id),
            address=address,
            content=content,
            to_name=facts["name"] or "",
            headers=headers,
            expires_at=row["expires_at"],
            is_urgent=row["priority"] >= Priority.HIGH.rank,
            trace_id=notification.trace_id,
        )

    async def _load(self, ids: set[UUID]) -> dict[UUID, PosthouseError]:
        """Keep the notifications of these ids at hand; gives why some cannot be sent."""
        problems: dict[UUID, PosthouseError] = {}
        for known in ids & self._loaded.keys():
            self._loaded.move_to_end(known)
        missing = ids - self._loaded.keys()
        if not missing:
            return problems
        async with self.db.read() as connection:
            found = await notification_store.load(connection, list(missing))
        for notification in found.values():
            try:
                self._loaded[notification.id] = await self.load(notification)
            except PosthouseError as error:
                problems[notification.id] = error
        while len(self._loaded) > max(_KEPT, len(ids)):
            self._loaded.popitem(last=False)
        return problems

    async def load(self, notification: Notification) -> Loaded:
        """Compile what is sent.

        Raises:
            PosthouseError: the template is gone, or cannot be read now.
        """
        if notification.template_id is not None and notification.template_version is not None:
            compiled = await self.composing.version(
                notification.template_id, notification.template_version
            )
        else:
            compiled = compile_inline(notification.content or {})
        names_preferences = compiled.mentions("preferences_url")
        return Loaded(notification, compiled, names_preferences)

    def forget(self, notification_id: UUID) -> None:
        """Load a notification anew the next time: it was changed."""
        self._loaded.pop(notification_id, None)


def current_address(row: Row | Mapping[str, Any], facts: Row | Mapping[str, Any]) -> str | None:
    """Where a message goes: to the recipient's address of now, not that of when it was asked."""
    if row["address"] is None or not facts["is_known"]:
        return None if row["recipient_id"] and not facts["is_known"] else row["address"]
    now = {Channel.EMAIL: facts["email"], Channel.SMS: facts["phone"]}
    return now.get(Channel(row["channel"]), row["address"])


def recipient_of(facts: Row | Mapping[str, Any]) -> dict[str, Any]:
    """What templates may say of a recipient."""
    return {
        "id": facts["external_id"] or "",
        "name": facts["name"] or "",
        "email": facts["email"] or "",
        "phone": facts["phone"] or "",
        "locale": facts["locale"] or "",
        "attributes": facts["attributes"] or {},
    }


def put_off(lease: Lease, error: PosthouseError | None) -> store.Settled:
    """What becomes of a message that cannot be made ready; without an error: it is not known."""
    if error is not None and not error.is_retryable:
        is_file = isinstance(error, FileUnknownError)
        return _failed(lease, error, "attachment-gone" if is_file else error.code)
    reason = "not-ready" if error is None else error.code
    return store.Settled(lease.id, lease.token, "held", reason, delay_s=_WAIT_S)


def _failed(lease: Lease, error: PosthouseError, reason: str | None = None) -> store.Settled:
    said = (error.detail or error.title).rstrip(".")
    words = "; ".join([said, *(one.message for one in error.fields)])
    return store.Settled(lease.id, lease.token, "failed", reason or error.code, words[:500])
