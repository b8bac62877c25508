"""The routes that send, and that tell what was sent and why."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import FieldProblem, InvalidInputError, NotFoundError
from posthouse.kernel.ids import Prefix
from posthouse.kernel.moments import Moment
from posthouse.kernel.pagination import DEFAULT_LIMIT, MAX_LIMIT, Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.links.public import TargetRefusedError
from posthouse.notifications.errors import (
    ChannelNotConfiguredError,
    DeliveryNotFoundError,
    NotificationInvalidError,
    NotificationNotFoundError,
    NotRepeatableError,
    NotStoppableError,
    SmsBudgetExhaustedError,
    SmsCountryRefusedError,
    TemplateInvalidError,
    TemplateNotFoundError,
    TemplateVariableMissingError,
)
from posthouse.notifications.explaining import Explained, Explaining
from posthouse.notifications.masking import mask
from posthouse.notifications.model import (
    DELIVERY,
    NOTIFICATION,
    PROVIDER,
    READ,
    RECIPIENT,
    TEMPLATE,
    WRITE,
    Channel,
    DeliveryId,
    Filter,
    NotificationId,
    State,
    Status,
)
from posthouse.notifications.schemas.sending import (
    Accepted,
    BatchAccepted,
    BatchIn,
    DeliveryOut,
    ExplainedOut,
    Explanation,
    Key,
    NotificationOut,
    NotificationShown,
    Replayed,
    ReplayIn,
    RescheduleIn,
    ResendIn,
    SendIn,
    show,
    show_delivery,
    show_findings,
    show_whole,
)
from posthouse.notifications.service import Notifications
from posthouse.notifications.store.deliveries import Troubled

routes = Routes.of("notifications")

the_notifications = service(Notifications)
the_explaining = service(Explaining)

_POLL_S = "2"


async def read_id(
    notification_id: Annotated[str, Path(description="Such as `ntf_01jd…`.")],
) -> NotificationId:
    """The id in the path.

    Raises:
        NotificationNotFoundError: no notification can have it.
    """
    try:
        return NotificationId(NOTIFICATION.read(notification_id))
    except NotFoundError as error:
        raise NotificationNotFoundError from error


async def read_delivery_id(
    delivery_id: Annotated[str, Path(description="Such as `dlv_01jd…`.")],
) -> DeliveryId:
    """The id in the path.

    Raises:
        DeliveryNotFoundError: no message can have it.
    """
    try:
        return DeliveryId(DELIVERY.read(delivery_id))
    except NotFoundError as error:
        raise DeliveryNotFoundError from error


async def read_filter(
    category: Annotated[Key | None, Query(description="Of this category.")] = None,
    template: Annotated[
        str | None, Query(max_length=40, description="By this template: `tpl_…`.")
    ] = None,
    recipient: Annotated[
        str | None, Query(max_length=40, description="To this recipient: `rcp_…`.")
    ] = None,
    status: Annotated[
        Status | None, Query(description="With this status; `queued` and `sending` are open.")
    ] = None,
    since: Annotated[Moment | None, Query(description="Made at this time or later.")] = None,
    until: Annotated[Moment | None, Query(description="Made before this time.")] = None,
) -> Filter:
    """What the list shows; for `Depends`."""
    is_open = None if status is None else status in {Status.QUEUED, Status.SENDING}
    return Filter(
        category=category,
        template_id=_read(TEMPLATE, template, "query.template"),
        since=since,
        until=until,
        is_open=is_open,
        status=None if is_open else status,
        recipient_id=_read(RECIPIENT, recipient, "query.recipient"),
    )


def _read(prefix: Prefix, text: str | None, field: str) -> UUID | None:
    """The id in a filter.

    Raises:
        InvalidInputError: it is none of this kind.
    """
    try:
        return None if text is None else prefix.read(text)
    except NotFoundError as error:
        words = f"an id of this kind begins with {prefix.name}_"
        problem = FieldProblem(field, "not-an-id", words)
        raise InvalidInputError(f"{field}: {words}.", fields=[problem]) from error


Caller = Annotated[Principal, Depends(current_principal)]
NotificationsDep = Annotated[Notifications, Depends(the_notifications)]
ExplainingDep = Annotated[Explaining, Depends(the_explaining)]
NotificationPath = Annotated[NotificationId, Depends(read_id)]
DeliveryPath = Annotated[DeliveryId, Depends(read_delivery_id)]
FilterDep = Annotated[Filter, Depends(read_filter)]

_SENDING = (
    NotificationInvalidError,
    ChannelNotConfiguredError,
    TemplateNotFoundError,
    TemplateInvalidError,
    TemplateVariableMissingError,
    SmsCountryRefusedError,
    SmsBudgetExhaustedError,
    TargetRefusedError,
)


def _accepted(response: Response, notification_id: NotificationId) -> Accepted:
    shown = NOTIFICATION.show(notification_id)
    response.headers["Location"] = f"/api/v1/notifications/{shown}"
    response.headers["Retry-After"] = _POLL_S
    return Accepted(job_id=shown)


@routes.post("/notifications/send", needs=WRITE, raises=_SENDING, status=202,
             response_model=Accepted, summary="Send a notification")  # fmt: skip
async def send(
    body: SendIn, caller: Caller, response: Response, notifications: NotificationsDep
) -> Accepted:
    """Accept a message to one or many; it is delivered, or its status says why not."""
    (accepted,) = await notifications.send(caller, [body.wanted()])
    return _accepted(response, accepted)


@routes.post("/notifications/batch", needs=WRITE, raises=_SENDING, status=202,
             response_model=BatchAccepted, summary="Send several notifications")  # fmt: skip
async def batch(
    body: BatchIn, caller: Caller, response: Response, notifications: NotificationsDep
) -> BatchAccepted:
    """Accept different messages, all of them or none."""
    accepted = await notifications.send(caller, [one.wanted() for one in body.items])
    response.headers["Retry-After"] = _POLL_S
    return BatchAccepted(accepted=[Accepted(job_id=NOTIFICATION.show(one)) for one in accepted])


@routes.post("/notifications/explain", needs=READ, raises=_SENDING, is_idempotent=False,
             response_model=Explanation, summary="Say what sending would do")  # fmt: skip
async def explain_before(body: SendIn, caller: Caller, explaining: ExplainingDep) -> Explanation:
    """Decide about each message without sending it, and say by which rule."""
    explained, total = await explaining.would(caller, body.wanted())
    return Explanation(explained=[_shown(one) for one in explained], total=total)


@routes.post("/notifications/replay", needs=WRITE,
             raises=(NotificationInvalidError, SmsBudgetExhaustedError),
             response_model=Replayed, summary="Queue again what did not arrive")  # fmt: skip
async def replay(body: ReplayIn, caller: Caller, notifications: NotificationsDep) -> Replayed:
    """Count messages that did not arrive; with that count as `expected`, queue them again."""
    wanted = Troubled(
        states=tuple(dict.fromkeys(body.states)),
        channel=body.channel,
        category=body.category,
        reason=body.reason,
        notification_id=_read(NOTIFICATION, body.notification, "body.notification"),
        provider_id=_read(PROVIDER, body.provider, "body.provider"),
        since=body.since,
        until=body.until,
    )
    count, is_replayed = await notifications.replay(caller, wanted, body.expected)
    return Replayed(count=count, is_replayed=is_replayed)


@routes.get("/notifications", needs=READ, response_model=Page[NotificationOut],
            summary="List notifications")  # fmt: skip
async def list_notifications(
    caller: Caller, paging: PagingDep, wanted: FilterDep, notifications: NotificationsDep
) -> Page[NotificationOut]:
    """List what was asked for, newest first."""
    found = await notifications.page(caller, wanted, paging.keyset)
    return paging.page(found, key=lambda one: (str(one.id),), show=show)


@routes.get("/notifications/{notification_id}", needs=READ, raises=(NotificationNotFoundError,),
            response_model=NotificationShown, summary="Show a notification")  # fmt: skip
async def find(
    wanted: NotificationPath,
    caller: Caller,
    notifications: NotificationsDep,
    deliveries: Annotated[
        int, Query(ge=0, le=MAX_LIMIT, description="How many of its messages to show.")
    ] = DEFAULT_LIMIT,
) -> NotificationShown:
    """Show a notification, its first messages and what was tried for them."""
    found = await notifications.show(caller, wanted, deliveries)
    return show_whole(found.notification, found.counts, found.deliveries, found.attempts)


@routes.get("/notifications/{notification_id}/deliveries", needs=READ,
            raises=(NotificationNotFoundError,), response_model=Page[DeliveryOut],
            summary="List the messages of a notification")  # fmt: skip
async def list_deliveries(
    wanted: NotificationPath,
    caller: Caller,
    paging: PagingDep,
    notifications: NotificationsDep,
    state: Annotated[State | None, Query(description="In this state.")] = None,
    channel: Annotated[Channel | None, Query(description="By this channel.")] = None,
) -> Page[DeliveryOut]:
    """List its messages with what was tried for each."""
    found, attempts = await notifications.page_of(
        caller, wanted, paging.keyset, state=state, channel=channel
    )
    return paging.page(
        found,
        key=lambda one: (str(one.id),),
        show=lambda one: show_delivery(one, attempts.get(one.id, ())),
    )


@routes.get("/notifications/{notification_id}/explain", needs=READ,
            raises=(NotificationNotFoundError,), response_model=Explanation,
            summary="Say why each message was sent or not")  # fmt: skip
async def explain(
    wanted: NotificationPath, caller: Caller, explaining: ExplainingDep
) -> Explanation:
    """Say for each recipient and channel what was decided, and by which rule."""
    explained, total = await explaining.why(caller, wanted)
    return Explanation(explained=[_shown(one) for one in explained], total=total)


@routes.post("/notifications/{notification_id}/cancel", needs=WRITE,
             raises=(NotificationNotFoundError, NotStoppableError), is_idempotent=False,
             response_model=NotificationOut, summary="Cancel a notification")  # fmt: skip
async def cancel(
    wanted: NotificationPath, caller: Caller, notifications: NotificationsDep
) -> NotificationOut:
    """Stop what still waits of it."""
    return show(await notifications.cancel(caller, wanted))


@routes.post("/notifications/{notification_id}/reschedule", needs=WRITE,
             raises=(NotificationNotFoundError, NotStoppableError), is_idempotent=False,
             response_model=NotificationOut, summary="Reschedule a notification")  # fmt: skip
async def reschedule(
    wanted: NotificationPath, body: RescheduleIn, caller: Caller, notifications: NotificationsDep
) -> NotificationOut:
    """Let what was not tried yet go out at another time."""
    return show(await notifications.reschedule(caller, wanted, body.send_at))


@routes.post("/notifications/{notification_id}/resend", needs=WRITE,
             raises=(NotificationNotFoundError, NotRepeatableError, SmsBudgetExhaustedError),
             status=202, response_model=Accepted, summary="Send a notification again")  # fmt: skip
async def resend(
    wanted: NotificationPath,
    body: ResendIn,
    caller: Caller,
    response: Response,
    notifications: NotificationsDep,
) -> Accepted:
    """Send its messages, or those that failed, once more as a notification of its own."""
    accepted = await notifications.resend(caller, wanted, only_failed=body.only_failed)
    return _accepted(response, accepted)


@routes.get("/deliveries/{delivery_id}", needs=READ, raises=(DeliveryNotFoundError,),
            response_model=DeliveryOut, summary="Show one message")  # fmt: skip
async def find_delivery(
    wanted: DeliveryPath, caller: Caller, notifications: NotificationsDep
) -> DeliveryOut:
    """Show one message and what was tried for it."""
    return show_delivery(*await notifications.find_delivery(caller, wanted))


def _shown(one: Explained) -> ExplainedOut:
    return ExplainedOut(
        channel=one.channel,
        address=mask(one.channel, one.address),
        recipient=RECIPIENT.show(one.recipient_id) if one.recipient_id else None,
        state=one.state,
        act=one.verdict.act,
        rule=one.verdict.rule,
        words=one.verdict.words,
        until=one.verdict.until,
        rules=show_findings(one.findings),
        content=None if one.content is None else dict(one.content),
    )
