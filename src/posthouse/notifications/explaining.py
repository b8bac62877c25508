"""Why a message was sent, held or left: the rules are asked again, and what they saw is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.errors import PosthouseError
from posthouse.notifications import deciding
from posthouse.notifications.deciding import Act, Case, Finding, Route, Rule, Verdict
from posthouse.notifications.errors import NotificationNotFoundError
from posthouse.notifications.model import (
    STOPPABLE,
    Channel,
    Delivery,
    NewDelivery,
    NewNotification,
    Notification,
    NotificationId,
    RecipientId,
    State,
    Wanted,
)
from posthouse.notifications.planning import Planned, Planning
from posthouse.notifications.preparing import recipient_of
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.store import deliveries as delivery_store
from posthouse.notifications.store import explaining as store
from posthouse.notifications.store import notifications as notification_store
from posthouse.notifications.store import targets as target_store
from posthouse.notifications.switchboard import serves

_MOST = 100


@dataclass(frozen=True, slots=True)
class Explained:
    """What was or would be decided about one message; `content` is as it would be rendered."""

    channel: Channel
    address: str | None
    recipient_id: RecipientId | None
    state: State | None
    verdict: Verdict
    findings: Sequence[Finding]
    content: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explaining:
    """Explains what was sent and what would be."""

    db: Database
    clock: Clock
    planning: Planning
    renderer: Renderer

    async def why(
        self, principal: Principal, notification_id: NotificationId
    ) -> tuple[list[Explained], int]:
        """Explain the first hundred messages of a notification; gives also how many there are.

        Raises:
            NotificationNotFoundError: there is none.
        """
        owner = principal.workspace_id
        async with self.db.snapshot() as tx:
            found = await notification_store.find(tx, owner, notification_id)
            if found is None:
                raise NotificationNotFoundError
            deliveries = await delivery_store.page(
                tx, owner, notification_id, after=None, limit=_MOST
            )
            counts = await notification_store.counts(tx, owner, notification_id)
            facts = await store.facts(
                tx, owner, found.category, [(one.channel, one.address) for one in deliveries],
                [one.recipient_id for one in deliveries if one.recipient_id],
            )  # fmt: skip
        explained = [
            _told(one) if one.state not in STOPPABLE else self._now(found, facts, one)
            for one in deliveries
        ]
        return explained, sum(counts.values())

    async def would(self, principal: Principal, wanted: Wanted) -> tuple[list[Explained], int]:
        """Explain what sending would do, without doing it.

        Raises:
            NotificationInvalidError: it cannot be sent; the error names the field.
            ChannelNotConfiguredError: nothing is set up that could send it.
            TemplateNotFoundError: there is no such template.
            TemplateInvalidError: the content does not compile.
            TemplateVariableMissingError: the data lacks what the content needs.
            SmsCountryRefusedError: a number lies in a country that is not listed.
        """
        owner = principal.workspace_id
        async with self.db.snapshot() as tx:
            planned = await self.planning.plan(tx, principal, wanted, "body")
            people, total = planned.people, 0
            topic_id = planned.notification.topic_id
            if topic_id is not None:
                people = await target_store.members(tx, owner, topic_id, after=None, limit=_MOST)
                total = await target_store.count_members(tx, owner, topic_id)
            messages = planned.plan.messages(people)
            total = max(total, len(messages))
            messages = messages[:_MOST]
            facts = await store.facts(
                tx, owner, wanted.category, [(one.channel, one.address) for one in messages],
                [one.recipient_id for one in messages if one.recipient_id],
            )  # fmt: skip
        return [self._future(planned, facts, one) for one in messages], total

    def _now(self, found: Notification, facts: store.Facts, one: Delivery) -> Explained:
        """What the rules say now of a message that waits."""
        is_retry = one.state is State.RETRY_WAIT
        # With a reason its time has come before, and it was put off: the rules say why.
        is_put_off = is_retry or one.reason not in {"", Rule.SCHEDULED}
        case = self._case(found, facts, one, None if is_put_off else one.ready_at)
        verdict, findings = deciding.explain(case)
        if is_retry and verdict.act is Act.SEND:
            words = f"It was refused ({one.reason} {one.detail}) and is tried again."
            verdict = Verdict(Rule.SEND, words, one.ready_at)
        return Explained(
            one.channel, one.address, one.recipient_id, one.state, verdict, findings, None
        )

    def _future(self, planned: Planned, facts: store.Facts, one: NewDelivery) -> Explained:
        case = self._case(planned.notification, facts, one, one.ready_at)
        verdict, findings = deciding.explain(case)
        content = None
        if one.address is not None:
            content = self._rendered(planned, facts, one)
        return Explained(
            one.channel, one.address, one.recipient_id, None, verdict, findings, content
        )

    def _rendered(
        self, planned: Planned, facts: store.Facts, one: NewDelivery
    ) -> Mapping[str, Any]:
        row = facts.recipients.get(one.recipient_id) if one.recipient_id else None
        example = "https://example.com/-/"
        variables = planned.notification.data | {
            "recipient": recipient_of(row or _NOBODY),
            "links": planned.notification.links,
            "unsubscribe_url": example,
            "preferences_url": example,
        }
        locale = row["locale"] if row else one.locale
        try:
            content = self.renderer.render(planned.compiled, one.channel, locale, variables)
        except PosthouseError as error:
            return {"error": error.code, "detail": error.detail}
        return asdict(content)

    def _case(
        self,
        parent: NewNotification,
        facts: store.Facts,
        one: Delivery | NewDelivery,
        send_at: datetime | None,
    ) -> Case:
        row = facts.recipients.get(one.recipient_id) if one.recipient_id else None
        address = one.address
        routes = [
            Route(line["name"], line["paused_reason"] or "")
            for line in facts.providers
            if line["channel"] == one.channel and (address is None or serves(line["kind"], address))
        ]
        return Case(
            now=self.clock.now(),
            channel=one.channel,
            category=parent.category,
            address=address,
            is_cancelled=isinstance(parent, Notification) and parent.cancelled_at is not None,
            is_critical=facts.is_critical,
            is_stopped=bool(row and row["is_stopped"]),
            choice=facts.choice(one.recipient_id, one.channel),
            suppressed_for=facts.suppressed_for(one.channel, address),
            send_at=send_at,
            expires_at=parent.expires_at,
            quiet_from=row["quiet_from"] if row else None,
            quiet_until=row["quiet_until"] if row else None,
            timezone=row["timezone"] if row else one.timezone,
            routes=routes,
        )


_NOBODY: dict[str, Any] = dict.fromkeys(
    ("external_id", "name", "email", "phone", "locale", "attributes")
)
_ACTS = {
    State.SKIPPED: Act.SKIP,
    State.SUPPRESSED: Act.SUPPRESS,
    State.EXPIRED: Act.EXPIRE,
    State.CANCELLED: Act.CANCEL,
}
_WORDS = {
    State.LEASED: "It is going out just now.",
    State.SENDING: "It is going out just now.",
    State.SENT: "The provider took it.",
    State.DELIVERED: "The provider says that it was delivered.",
    State.IN_DOUBT: "Nobody knows whether the provider took it.",
    State.BOUNCED: "The provider took it, but it came back",
    State.FAILED: "It failed for good",
    State.DEAD: "It was given up",
}


def _told(one: Delivery) -> Explained:
    """What was decided about a message, as it was noted then."""
    if one.state in _ACTS:
        known = one.reason in set(Rule)
        rule = Rule(one.reason) if known else Rule.CANCELLED
        words = one.detail or _DEFAULTS.get(rule, "")
    else:
        rule, words = Rule.SEND, _WORDS[one.state]
        if not words.endswith("."):
            words = f"{words}: {one.reason} {one.detail}".strip() + "."
        if one.doubts and one.state is not State.IN_DOUBT:
            words += " It was in doubt before, so it may have come twice."
    verdict = Verdict(rule, words)
    finding = Finding(rule, decides=True, words=words)
    return Explained(
        one.channel, one.address, one.recipient_id, one.state, verdict, [finding], None
    )


_DEFAULTS = {
    Rule.CANCELLED: "It was cancelled.",
    Rule.EXPIRED: "Its time was over before it could be sent.",
    Rule.NO_ADDRESS: "There was no address for this channel.",
    Rule.PREFERENCE: "The recipient had switched it off.",
    Rule.SUPPRESSED: "The address was on the suppression list.",
}
