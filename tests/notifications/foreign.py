"""What the tests of the house need to try the routes of notifications."""

from typing import Any

from posthouse.notifications.model import DELIVERY, DEVICE, NOTIFICATION, PROVIDER, RECIPIENT
from tests.make import Maker
from tests.notifications.making import (
    category,
    device,
    layout,
    notification,
    provider,
    recipient,
    template,
    topic,
)

_SEND = {"to": {"email": "ann@example.com"}, "content": {"text": "x"}}
BODIES: dict[str, Any] = {
    "POST /notifications/send": _SEND,
    "POST /notifications/explain": _SEND,
    "POST /notifications/batch": {"items": [_SEND]},
    "POST /notifications/{notification_id}/reschedule": {"send_at": "2999-01-01T00:00:00Z"},
    "PATCH /notifications/providers/{provider_id}": {"name": "x"},
    "POST /notifications/providers/{provider_id}/test": {"to": "ann@example.com"},
    "PATCH /recipients/{recipient_id}": {"name": "x"},
    "POST /recipients/{recipient_id}/devices": {"kind": "fcm", "token": "a-token-of-fcm"},
    "PUT /notification-categories/{category_key}": {"name": "x"},
    "PUT /topics/{topic_key}": {"name": "x"},
    "POST /topics/{topic_key}/members": {"recipients": ["x"]},
    "POST /topics/{topic_key}/members/remove": {"recipients": ["x"]},
    "PUT /templates/{template_key}": {"name": "x", "locales": {"en": {"sms": {"text": "x"}}}},
    "POST /templates/{template_key}/preview": {"channel": "sms"},
    "PUT /layouts/{layout_key}": {"html": "{{ content }}"},
    "POST /suppressions/remove": {"channel": "email", "address": "ann@example.com"},
}


async def foreign(make: Maker) -> dict[str, str]:
    """Things of a workspace that the caller has nothing to do with."""
    owner = await make.principal()
    person = await recipient(make, owner)
    sent, message = await notification(make, owner)
    return {
        "notification_id": NOTIFICATION.show(sent),
        "delivery_id": DELIVERY.show(message),
        "provider_id": PROVIDER.show((await provider(make, owner, "foreign-provider")).id),
        "recipient_id": RECIPIENT.show(person.id),
        "device_id": DEVICE.show((await device(make, owner, person)).id),
        "topic_key": (await topic(make, owner, "foreign-topic")).key,
        "category_key": (await category(make, owner, "foreign-category")).key,
        "template_key": (await template(make, owner, "foreign-template")).key,
        "layout_key": (await layout(make, owner, "foreign-layout")).key,
        "number": "1",
    }
