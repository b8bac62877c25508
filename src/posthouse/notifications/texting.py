"""Where text messages may go and how many: against those who let others pay for premium numbers.

Source: OWASP Cheat Sheet "Multifactor Authentication", SMS pumping; Twilio, "SMS Traffic Pumping
Fraud".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Tx
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.channels.sms import country_of
from posthouse.notifications.errors import SmsBudgetExhaustedError
from posthouse.notifications.model import Channel, NewDelivery, State
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store import targets as store

_PREFIX = 7


def countries_of(providers: Iterable[tuple[Channel, str, dict[str, Any]]]) -> set[str] | None:
    """The countries that a workspace's text messages may go to; None for any.

    A provider that lists none sends to the country of its own number.
    """
    allowed: set[str] = set()
    for channel, kind, options in providers:
        if channel is not Channel.SMS:
            continue
        own = getattr(KINDS[kind].options.model_validate(options), "allowed_countries", None)
        if own is None:
            return None  # it reaches nobody's telephone
        allowed |= own
    return allowed


def refuse_foreign(new: Sequence[NewDelivery], allowed: set[str] | None) -> list[NewDelivery]:
    """The messages, those to other countries as failed."""
    if allowed is None:
        return list(new)
    return [
        replace(one, state=State.FAILED, reason="sms-country-refused")
        if is_text(one) and country_of(one.address or "") not in allowed
        else one
        for one in new
    ]


def is_text(one: NewDelivery) -> bool:
    """Whether it is a text message that will be sent."""
    return one.channel is Channel.SMS and one.state is State.QUEUED


async def reserve(
    tx: Tx,
    workspace_id: UUID,
    numbers: Sequence[str],
    settings: NotificationsSettings,
    now: datetime,
) -> None:
    """Count text messages to these numbers against the budgets of today.

    Raises:
        SmsBudgetExhaustedError: they are too many for the workspace or a range of numbers.
    """
    if not numbers:
        return
    prefixes = Counter(number[:_PREFIX] for number in numbers)
    wanted = {prefix: (count, settings.sms_per_prefix) for prefix, count in prefixes.items()}
    # Rows are locked in one order by all, so that two who reserve do not wait for each other.
    wanted = dict(sorted(wanted.items())) | {"": (len(numbers), settings.sms_per_day)}
    fitting = await store.reserve_sms(tx, workspace_id, wanted)
    over = [prefix for prefix in wanted if prefix not in fitting]
    if over:
        which = f"Numbers that begin with {over[0]}" if over[0] else "This workspace"
        midnight = datetime(now.year, now.month, now.day, tzinfo=now.tzinfo) + timedelta(days=1)
        left_s = (midnight - now).total_seconds()
        raise SmsBudgetExhaustedError(f"{which} had all of today.", retry_after_s=left_s)
