"""The rules of notifications: one method is one use case and one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from posthouse.kernel import audit, ids, trace
from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database, Row, Tx
from posthouse.kernel.errors import FieldProblem
from posthouse.kernel.leases import Leases
from posthouse.kernel.pagination import Keyset
from posthouse.links.public import LinksDoor
from posthouse.notifications import texting
from posthouse.notifications.errors import (
    DeliveryNotFoundError,
    NotificationInvalidError,
    NotificationNotFoundError,
    NotRepeatableError,
    NotStoppableError,
)
from posthouse.notifications.model import (
    NOTIFICATION,
    Attempt,
    Channel,
    Delivery,
    DeliveryId,
    Filter,
    NewDelivery,
    NewNotification,
    Notification,
    NotificationId,
    RecipientId,
    State,
    Wanted,
)
from posthouse.notifications.planning import Planned, Planning, read_recipient
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import deliveries as delivery_store
from posthouse.notifications.store import notifications as store
from posthouse.notifications.store import targets as target_store
from posthouse.notifications.store.deliveries import Troubled
from posthouse.tasks.public import TasksDoor

FAN_OUT = "notifications.fan-out"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A notification, how many of its messages are in each state, and some of them."""

    notification: Notification
    counts: Mapping[State, int]
    deliveries: Sequence[Delivery]
    attempts: Mapping[DeliveryId, Sequence[Attempt]]


@dataclass(frozen=True, slots=True)
class Notifications:
    """Notifications: accept them, find them, stop them, repeat them."""

    db: Database
    clock: Clock
    leases: Leases
    planning: Planning
    tasks: TasksDoor
    links: LinksDoor
    settings: NotificationsSettings

    async def send(self, principal: Principal, items: Sequence[Wanted]) -> list[NotificationId]:
        """Accept notifications, all of them or none.

        Raises:
            NotificationInvalidError: one of them cannot be sent; the error names the field.
            ChannelNotConfiguredError: nothing is set up that could send one.
            TemplateNotFoundError: there is no such template.
            TemplateInvalidError: the content does not compile.
            TemplateVariableMissingError: the data lacks what the content needs.
            SmsCountryRefusedError: a number lies in a country that is not listed.
            SmsBudgetExhaustedError: today's text messages are used up.
            TargetRefusedError: a link leads where links may not.
        """
        accepted: list[NotificationId] = []
        async with self.db.begin() as tx:
            for place, wanted in enumerate(items):
                where = "body" if len(items) == 1 else f"body.items.{place}"
                planned = await self.planning.plan(tx, principal, wanted, where)
                accepted.append(await self._accept(tx, principal, planned, wanted.links))
            await self.leases.tell(tx)
        return accepted

    async def _accept(
        self, tx: Tx, principal: Principal, planned: Planned, links: Mapping[str, str]
    ) -> NotificationId:
        host = self.links.addressing.default_host
        made: dict[str, str] = {}
        for name, url in links.items():
            link = await self.links.shorten(principal, url, host=host)
            made[name] = self.links.short_url(link)
        new = replace(planned.notification, links=made)
        await store.insert(tx, new)
        if new.topic_id is None:
            messages = planned.plan.messages(planned.people)
            await self.deal(tx, new, messages, planned.countries)
        else:
            task_id = await self.tasks.submit(
                principal, FAN_OUT, {"notification": NOTIFICATION.show(new.id)}
            )
            await store.note_task(tx, new.workspace_id, new.id, task_id)
        return new.id

    async def deal(
        self,
        tx: Tx,
        parent: NewNotification,
        messages: Sequence[NewDelivery],
        countries: set[str] | None,
    ) -> None:
        """Write messages in the caller's transaction; writing them twice is harmless.

        Raises:
            SmsBudgetExhaustedError: today's text messages are used up.
        """
        new = texting.refuse_foreign(messages, countries)
        numbers = await delivery_store.insert(tx, parent, new)
        await texting.reserve(tx, parent.workspace_id, numbers, self.settings, self.clock.now())
        if not any(one.state is State.QUEUED for one in new):
            await store.end(tx, [parent.id])

    async def find(self, principal: Principal, notification_id: NotificationId) -> Notification:
        """Find a notification of the caller's workspace.

        Raises:
            NotificationNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            found = await store.find(connection, principal.workspace_id, notification_id)
        if found is None:
            raise NotificationNotFoundError
        return found

    async def show(
        self, principal: Principal, notification_id: NotificationId, limit: int
    ) -> Shown:
        """Find a notification with its first messages and what was tried for them.

        Raises:
            NotificationNotFoundError: there is none.
        """
        owner = principal.workspace_id
        async with self.db.snapshot() as tx:
            found = await store.find(tx, owner, notification_id)
            if found is None:
                raise NotificationNotFoundError
            counts = await store.counts(tx, owner, notification_id)
            deliveries = await delivery_store.page(
                tx, owner, notification_id, after=None, limit=limit
            )
            attempts = await delivery_store.attempts(tx, owner, [one.id for one in deliveries])
        return Shown(found, counts, deliveries, attempts)

    async def page(
        self, principal: Principal, wanted: Filter, keyset: Keyset
    ) -> list[Notification]:
        """Read one page, newest first, and one more."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, wanted, keyset)

    async def page_of(
        self,
        principal: Principal,
        notification_id: NotificationId,
        keyset: Keyset,
        *,
        state: State | None = None,
        channel: Channel | None = None,
    ) -> tuple[list[Delivery], Mapping[DeliveryId, Sequence[Attempt]]]:
        """Read one page of its messages and one more, and what was tried for them.

        Raises:
            NotificationNotFoundError: there is none.
        """
        owner = principal.workspace_id
        after = UUID(str(keyset.after[0])) if keyset.after else None
        await self.find(principal, notification_id)
        async with self.db.read() as connection:
            found = await delivery_store.page(
                connection, owner, notification_id, after=after, limit=keyset.limit + 1,
                state=state, channel=channel,
            )  # fmt: skip
            attempts = await delivery_store.attempts(connection, owner, [one.id for one in found])
        return found, attempts

    async def find_delivery(
        self, principal: Principal, delivery_id: DeliveryId
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """Find one message and what was tried for it.

        Raises:
            DeliveryNotFoundError: there is none.
        """
        owner = principal.workspace_id
        async with self.db.read() as connection:
            found = await delivery_store.find(connection, owner, delivery_id)
            if found is None:
                raise DeliveryNotFoundError
            attempts = await delivery_store.attempts(connection, owner, [delivery_id])
        return found, attempts.get(delivery_id, [])

    async def cancel(self, principal: Principal, notification_id: NotificationId) -> Notification:
        """Stop what still waits; what is under way or was sent stays as it is.

        Raises:
            NotificationNotFoundError: there is none.
            NotStoppableError: nothing of it waits any more.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            found = await self._lock(tx, owner, notification_id)
            await store.cancel(tx, owner, notification_id)
            stopped = await delivery_store.cancel(tx, owner, notification_id)
            is_waiting = found.fan_out == "waiting"
            if is_waiting and found.task_id is not None:
                await store.note_fan_out(tx, owner, notification_id, "done")
                await self.tasks.stop(principal, found.task_id)
            if not stopped and not is_waiting:
                raise NotStoppableError("It was sent, or is being sent just now.")
            await store.end(tx, [notification_id])
            shown = NOTIFICATION.show(notification_id)
            await audit.record(tx, principal, "notification.cancelled", shown)
        return await self.find(principal, notification_id)

    async def reschedule(
        self, principal: Principal, notification_id: NotificationId, send_at: datetime
    ) -> Notification:
        """Let what was not tried yet go out at another time.

        Raises:
            NotificationNotFoundError: there is none.
            NotStoppableError: nothing of it waits any more.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            await self._lock(tx, owner, notification_id)
            if not await delivery_store.reschedule(tx, owner, notification_id, send_at):
                raise NotStoppableError("All of it has been tried already.")
            await store.reschedule(tx, owner, notification_id, send_at)
            await self.leases.tell(tx)
            shown = NOTIFICATION.show(notification_id)
            await audit.record(tx, principal, "notification.rescheduled", shown)
        return await self.find(principal, notification_id)

    async def resend(
        self, principal: Principal, notification_id: NotificationId, *, only_failed: bool
    ) -> NotificationId:
        """Send its messages, or those that failed, once more as a notification of its own.

        Raises:
            NotificationNotFoundError: there is none.
            NotRepeatableError: there is nothing to send again.
            SmsBudgetExhaustedError: today's text messages are used up.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            found = await self._lock(tx, owner, notification_id)
            new = replace(
                NewNotification(
                    id=NotificationId(ids.fresh()),
                    workspace_id=owner,
                    category=found.category,
                    priority=found.priority,
                    created_by=principal.actor,
                    role=principal.role,
                ),
                trace_id=trace.trace_id() or "",
            )
            await store.copy(tx, found, new)
            copied = await delivery_store.copy(tx, found, new.id, only_failed=only_failed)
            if not copied:
                raise NotRepeatableError("Nothing of it has failed." if only_failed else "")
            await self._reserve(tx, owner, copied)
            await self.leases.tell(tx)
            shown = NOTIFICATION.show(notification_id)
            await audit.record(tx, principal, "notification.resent", shown, {"count": len(copied)})
        return new.id

    async def replay(
        self, principal: Principal, wanted: Troubled, expected: int | None
    ) -> tuple[int, bool]:
        """Count messages that did not arrive; if they are as many as expected, queue them again.

        Gives the count, and whether they were queued.

        Raises:
            NotificationInvalidError: they are not as many as expected, or too many at once.
            SmsBudgetExhaustedError: today's text messages are used up.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            count = await delivery_store.count_troubled(tx, owner, wanted)
            if expected is None:
                return count, False
            if count != expected or count > _MOST:
                _refuse_count(count)
            replayed = await delivery_store.replay(tx, owner, wanted)
            if len(replayed) != expected:
                _refuse_count(len(replayed))  # somebody else has just done it
            await self._reserve(tx, owner, replayed)
            await store.reopen(tx, owner, list({row["notification_id"] for row in replayed}))
            await self.leases.tell(tx)
            await audit.record(
                tx, principal, "notification.replayed", f"{count} messages", {"count": count}
            )
        return count, True

    async def find_recipient(self, principal: Principal, text: str) -> RecipientId | None:
        """The recipient of that id, ours or the caller's."""
        own = read_recipient(text)
        async with self.db.read() as connection:
            found = await target_store.recipients(
                connection, principal.workspace_id, [own] if own else [], [text]
            )
        person = found.get(own or "") or found.get(text)
        return person.id if person else None

    async def _reserve(self, tx: Tx, owner: UUID, messages: Sequence[Row]) -> None:
        """Count those that are sent again by text message: rows of channel and address."""
        numbers = [row["address"] for row in messages if row["channel"] == Channel.SMS]
        await texting.reserve(tx, owner, numbers, self.settings, self.clock.now())

    async def _lock(self, tx: Tx, owner: UUID, notification_id: UUID) -> Notification:
        found = await store.lock(tx, owner, notification_id)
        if found is None:
            raise NotificationNotFoundError
        return found


def _refuse_count(count: int) -> NoReturn:
    """Say how many there are.

    Raises:
        NotificationInvalidError: always.
    """
    words = f"There are {count} now" + ("; narrow the query" if count > _MOST else "")
    problem = FieldProblem("body.expected", "count-changed", words)
    raise NotificationInvalidError(f"{words}.", fields=[problem])
