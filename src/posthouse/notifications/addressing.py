"""Which messages a notification becomes: one for each recipient, channel and device."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from posthouse.notifications.model import (
    Channel,
    DeliveryId,
    NewDelivery,
    NewNotification,
    Person,
    State,
)
from posthouse.notifications.timing import instant_of

_TAIL_BITS = 62


def delivery_id(notification_id: UUID, channel: Channel, whom: str) -> DeliveryId:
    """The id of a message: the same each time it is made, and beside those of its notification.

    The time of the notification's id, then a digest. Source: RFC 9562 section 5.8 (UUIDv8).
    """
    seed = notification_id.bytes + f"{channel}\0{whom}".encode()
    digest = int.from_bytes(hashlib.sha256(seed).digest()[:16], "big")
    time = notification_id.int >> 80
    number = time << 80 | 8 << 76 | (digest >> 64 & 0xFFF) << 64 | 2 << _TAIL_BITS
    return DeliveryId(UUID(int=number | digest & ((1 << _TAIL_BITS) - 1)))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a notification is dealt out.

    `channels` are those that it may go by; with `is_chosen` the caller named them, so one that a
    recipient cannot be reached by is shown as skipped. `countries` are those that text messages
    may go to, None for any.
    """

    notification: NewNotification
    channels: Sequence[Channel]
    is_chosen: bool

    def messages(self, people: Iterable[Person]) -> list[NewDelivery]:
        """The messages for these people; the same person or address twice gets one."""
        found = {one.id: one for person in people for one in self._of(person)}
        return list(found.values())

    def _of(self, person: Person) -> Iterator[NewDelivery]:
        reached = [one for channel in self.channels for one in self._by(person, channel)]
        yield from reached
        missed = [
            channel
            for channel in self.channels
            if all(one.channel is not channel for one in reached)
        ]
        for channel in missed if self.is_chosen else missed[: 0 if reached else 1]:
            yield self._message(person, channel, f"r:{person.id}", None)

    def _by(self, person: Person, channel: Channel) -> Iterator[NewDelivery]:
        if channel is Channel.PUSH:
            for device in person.devices:
                yield self._message(
                    person, channel, f"d:{device.id}", device.token, device_id=device.id
                )
            return
        address = person.email if channel is Channel.EMAIL else person.phone
        if address is not None:
            whom = f"r:{person.id}" if person.id else f"a:{address.lower()}"
            yield self._message(person, channel, whom, address)

    def _message(
        self,
        person: Person,
        channel: Channel,
        whom: str,
        address: str | None,
        device_id: UUID | None = None,
    ) -> NewDelivery:
        parent = self.notification
        ready_at = parent.send_at
        if parent.local_send_at is not None:
            ready_at = instant_of(datetime.fromisoformat(parent.local_send_at), person.timezone)
        return NewDelivery(
            id=delivery_id(parent.id, channel, whom),
            channel=channel,
            address=address,
            recipient_id=person.id,
            device_id=device_id,  # type: ignore[arg-type]  a DeviceId or None
            locale=person.locale,
            timezone=person.timezone,
            ready_at=ready_at,
            state=State.QUEUED if address else State.SKIPPED,
            reason="" if address else "no-address",
        )
