"""Turns what a caller wants into messages: checks it, finds whom it goes to, plans how.

Sending and the dry run of `explain` go the same way; only sending writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from posthouse.files.public import FILE, FileId, FilesDoor
from posthouse.kernel import ids, trace
from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Tx
from posthouse.kernel.errors import FieldProblem, NotFoundError
from posthouse.notifications import texting
from posthouse.notifications.addressing import Plan
from posthouse.notifications.channels.sms import PhoneInvalidError, country_of, parse_number
from posthouse.notifications.composing import Templates
from posthouse.notifications.emails import parse_email
from posthouse.notifications.errors import (
    ChannelNotConfiguredError,
    NotificationInvalidError,
    SmsCountryRefusedError,
)
from posthouse.notifications.model import (
    GENERAL,
    RECIPIENT,
    Channel,
    NewNotification,
    NotificationId,
    Person,
    Target,
    TargetKind,
    TopicId,
    Wanted,
)
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import targets as store
from posthouse.notifications.templating import Compiled, compile_inline
from posthouse.notifications.zones import is_zone

_SOON = timedelta(minutes=1)
_FAR = timedelta(days=366)
_FITTING = {TargetKind.EMAIL: Channel.EMAIL, TargetKind.PHONE: Channel.SMS}


@dataclass(frozen=True, slots=True)
class Planned:
    """A checked notification: its content, its people, and how it is dealt out to them."""

    notification: NewNotification
    compiled: Compiled
    plan: Plan
    people: Sequence[Person]
    countries: set[str] | None


@dataclass(frozen=True, slots=True)
class Planning:
    """Plans notifications."""

    clock: Clock
    composing: Templates
    files: FilesDoor
    settings: NotificationsSettings

    async def plan(self, tx: Tx, principal: Principal, wanted: Wanted, where: str) -> Planned:
        """Check what is wanted; `where` is its place in the request, such as `body`.

        Raises:
            NotificationInvalidError: something in it cannot be; the error names the field.
            ChannelNotConfiguredError: nothing is set up that could send it.
            TemplateInvalidError: the content does not compile.
            TemplateVariableMissingError: the data lacks what the content needs.
            SmsCountryRefusedError: a number lies in a country that is not listed.
        """
        owner = principal.workspace_id
        now = self.clock.now()
        _check_times(wanted, now, where)
        if wanted.category != GENERAL and await store.category(tx, owner, wanted.category) is None:
            _refuse(f"{where}.category", "unknown-category", "There is no such category")
        template_id, number, compiled = await self._content(tx, principal, wanted)
        compiled.check(wanted.data, wanted.channels)
        _check_spoken(wanted, compiled, where)
        providers = await store.providers(tx, owner)
        channels = _channels(wanted, compiled, {channel for channel, _, _ in providers}, where)
        attachments = await self._attachments(principal, wanted.attachments, where)
        topic_id, people = await self._people(tx, owner, wanted.targets, where)
        countries = texting.countries_of(providers)
        _check_raw(wanted, channels, countries, where)
        notification = NewNotification(
            id=NotificationId(ids.fresh()),
            workspace_id=owner,
            category=wanted.category,
            priority=wanted.priority,
            created_by=principal.actor,
            role=principal.role,
            template_id=template_id,
            template_version=number,
            content=wanted.content,
            channels=wanted.channels,
            data=wanted.data,
            attachments=attachments,
            send_at=wanted.send_at,
            local_send_at=wanted.local_send_at,
            expires_at=wanted.expires_at,
            topic_id=topic_id,
            trace_id=trace.trace_id() or "",
        )
        plan = Plan(notification, channels, wanted.channels is not None)
        return Planned(notification, compiled, plan, people, countries)

    async def _content(
        self, tx: Tx, principal: Principal, wanted: Wanted
    ) -> tuple[Any, int | None, Compiled]:
        if wanted.template is None:
            return None, None, compile_inline(wanted.content or {})
        pinned = await self.composing.pinned(tx, principal.workspace_id, wanted.template)
        return pinned.id, pinned.number, pinned.compiled

    async def _attachments(
        self, principal: Principal, wanted: Sequence[str], where: str
    ) -> tuple[UUID, ...]:
        """The ids of files that are the caller's and together not too large."""
        if not wanted:
            return ()
        found: list[UUID] = []
        for place, text in enumerate(wanted):
            try:
                found.append(FILE.read(text))
            except NotFoundError:
                _refuse_file(where, place)
        known = await self.files.find_many(principal, found)
        for place, file_id in enumerate(found):
            if FileId(file_id) not in known:
                _refuse_file(where, place)
        size = sum(known[FileId(one)].file.blob.size_bytes for one in found)
        if size > self.settings.attachment_bytes:
            _refuse(
                f"{where}.attachments",
                "too-large",
                f"Together they may have {self.settings.attachment_bytes} bytes",
            )
        return tuple(found)

    async def _people(
        self, tx: Tx, owner: UUID, targets: Sequence[Target], where: str
    ) -> tuple[TopicId | None, list[Person]]:
        topics = [one for one in targets if one.kind is TargetKind.TOPIC]
        if topics:
            if len(targets) > 1:
                _refuse(f"{where}.to", "topic-not-alone", "A topic stands alone in `to`")
            topic_id = await store.topic(tx, owner, topics[0].value)
            if topic_id is None:
                _refuse(f"{where}.to.0.topic", "unknown-topic", "There is no such topic")
            return topic_id, []
        named = [one.value for one in targets if one.kind is TargetKind.RECIPIENT]
        known: Mapping[UUID | str, Person] = {}
        if named:
            known = await store.recipients(tx, owner, _ids(named), named)
        people: list[Person] = []
        for place, target in enumerate(targets):
            at = f"{where}.to.{place}.{target.kind}"
            if target.kind is TargetKind.RECIPIENT:
                person = known.get(read_recipient(target.value) or "") or known.get(target.value)
                if person is None:
                    _refuse(at, "unknown-recipient", "There is no such recipient")
                people.append(person)
            else:
                people.append(_raw(target, at))
        return None, people


def _raw(target: Target, at: str) -> Person:
    """Somebody whom only an address is known of."""
    if target.timezone is not None and not is_zone(target.timezone):
        _refuse(f"{at}.timezone", "unknown-timezone", "Give one such as Europe/Berlin")
    try:
        if target.kind is TargetKind.EMAIL:
            email, phone = parse_email(target.value), None
        else:
            email, phone = None, parse_number(target.value)
    except ValueError as error:
        _refuse(at, "address-invalid", str(error))
    except PhoneInvalidError as error:
        _refuse(at, "address-invalid", error.title)
    return Person(None, email, phone, target.locale, target.timezone)


def read_recipient(text: str) -> UUID | None:
    """The id of a recipient, if it is one of ours."""
    try:
        return RECIPIENT.read(text)
    except NotFoundError:
        return None


def _ids(named: Sequence[str]) -> list[UUID]:
    return [found for found in map(read_recipient, named) if found is not None]


def _channels(
    wanted: Wanted, compiled: Compiled, configured: set[Channel], where: str
) -> list[Channel]:
    """The channels that it may go by, in the order in which they are listed.

    Raises:
        ChannelNotConfiguredError: no provider is set up for one, or for any.
    """
    if wanted.channels is None:
        found = [one for one in Channel if one in compiled.channels & configured]
        if not found:
            spoken = ", ".join(sorted(compiled.channels))
            raise ChannelNotConfiguredError(
                f"Set up a provider for one of: {spoken} (POST /notifications/providers).",
                fields=[FieldProblem(f"{where}.channels", "channel-not-configured", spoken)],
            )
        return found
    for place, channel in enumerate(wanted.channels):
        at = f"{where}.channels.{place}"
        if channel not in compiled.channels:
            _refuse(at, "nothing-to-say", f"The content has nothing for {channel}")
        if channel not in configured:
            raise ChannelNotConfiguredError(
                f"Set up a provider for {channel} (POST /notifications/providers).",
                fields=[FieldProblem(at, "channel-not-configured", str(channel))],
            )
    return list(wanted.channels)


def _check_spoken(wanted: Wanted, compiled: Compiled, where: str) -> None:
    """Refuse an address for which the content says nothing."""
    for place, target in enumerate(wanted.targets):
        channel = _FITTING.get(target.kind)
        if channel is None or channel in compiled.channels:
            continue
        words = f"The content has nothing for {channel}"
        if channel is Channel.EMAIL and wanted.content is not None:
            words += "; an email needs a subject"
        _refuse(f"{where}.to.{place}.{target.kind}", "channel-mismatch", words)


def _check_raw(
    wanted: Wanted, channels: Sequence[Channel], countries: set[str] | None, where: str
) -> None:
    """Refuse an address that none of the channels goes to: nothing else is known of it.

    Raises:
        SmsCountryRefusedError: a number lies in a country that is not listed.
    """
    for place, target in enumerate(wanted.targets):
        at = f"{where}.to.{place}.{target.kind}"
        channel = _FITTING.get(target.kind)
        if channel is None:
            continue
        if channel not in channels:
            is_open = wanted.channels is None
            words = (
                f"No provider is set up for {channel}"
                if is_open
                else f"It is not to be sent by {channel}"
            )
            _refuse(at, "channel-mismatch", words)
        if channel is Channel.SMS and countries is not None:
            country = country_of(parse_number(target.value))
            if country not in countries:
                raise SmsCountryRefusedError(
                    f"{country or 'This country'} is not among {', '.join(sorted(countries))}.",
                    fields=[FieldProblem(at, "sms-country-refused", "not a listed country")],
                )


def _check_times(wanted: Wanted, now: datetime, where: str) -> None:
    send_at = wanted.send_at
    if wanted.local_send_at is not None:
        send_at = datetime.fromisoformat(wanted.local_send_at).replace(tzinfo=now.tzinfo)
    at = f"{where}.send_at"
    slack = _SOON if wanted.local_send_at is None else timedelta(days=1)  # zones lie that far apart
    if send_at is not None and send_at < now - slack:
        _refuse(at, "in-the-past", "It lies in the past; leave it out to send now")
    if send_at is not None and send_at > now + _FAR:
        _refuse(at, "too-far", "It lies more than a year ahead")
    if wanted.expires_at is None:
        return
    if wanted.expires_at <= (wanted.send_at or now):
        _refuse(f"{where}.expires_at", "not-in-order", "It expires before it is sent")


def _refuse_file(where: str, place: int) -> NoReturn:
    _refuse(f"{where}.attachments.{place}", "unknown-file", "There is no such file")


def _refuse(field: str, code: str, message: str) -> NoReturn:
    """Say what is wrong with the request.

    Raises:
        NotificationInvalidError: always.
    """
    problem = FieldProblem(field, code, message)
    raise NotificationInvalidError(f"{message}.", fields=[problem])
