"""What SES tells of emails, by way of Amazon SNS: JSON, signed with a certificate of Amazon's.

A certificate is fetched from Amazon's own host only, and a topic may make us confirm that we
listen only if it is the one that the provider names. Source: Amazon SNS, "Verifying the signatures
of Amazon SNS messages"; Amazon SES, "Contents of event data".
"""

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from posthouse.kernel.clock import Clock
from posthouse.kernel.errors import PosthouseError
from posthouse.notifications.channels.protocol import Call, Receiver, Surroundings
from posthouse.notifications.channels.ses import KEY_TAG, SesOptions, SesSecrets
from posthouse.notifications.errors import BadSignatureError, ReceiptInvalidError
from posthouse.notifications.model import Receipt, ReceiptKind

Fetch = Callable[[str], Awaitable[bytes]]

_HOST = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?")
_MAX_AGE_S, _MAX_AHEAD_S = 3600.0, 300.0
_MAX_ID, _MAX_DETAIL = 200, 300
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303  Amazon's default; a topic may be switched to 2
    "2": hashes.SHA256(),
}


@dataclass(frozen=True, slots=True)
class SesReceiver:
    """Reads what one topic tells."""

    topic_arn: str | None
    fetch: Fetch
    clock: Clock

    async def read(self, call: Call) -> Sequence[Receipt]:
        """Check the signature and give what it tells; a new subscription is confirmed.

        Raises:
            BadSignatureError: it is not of this topic, or too old.
            ReceiptInvalidError: it is, but cannot be read.
        """
        envelope = _object(call.body)
        await self._check(envelope)
        kind = envelope["Type"]
        if kind == "SubscriptionConfirmation":
            await self._confirm(envelope["SubscribeURL"])
        if kind != "Notification":
            return ()
        try:
            event: Any = json.loads(envelope["Message"])
        except (ValueError, RecursionError) as error:
            # SES says hello in plain words when a topic is connected to it.
            if envelope["Message"].startswith("Successfully validated"):
                return ()
            raise ReceiptInvalidError from error
        return _receipts(envelope["MessageId"], event)

    async def _check(self, envelope: Mapping[str, str]) -> None:
        names = _SIGNED.get(envelope.get("Type", ""))
        algorithm = _HASHES.get(envelope.get("SignatureVersion", ""))
        if names is None or algorithm is None:
            raise BadSignatureError
        missing = [name for name in names if name != "Subject" and name not in envelope]
        if missing or not self.topic_arn or envelope["TopicArn"] != self.topic_arn:
            raise BadSignatureError
        self._check_age(envelope["Timestamp"])
        url = envelope.get("SigningCertURL", "")
        if not _is_amazons(url) or not urlsplit(url).path.endswith(".pem"):
            raise BadSignatureError
        content = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)
        try:
            certificate = x509.load_pem_x509_certificate(await self.fetch(url))
            key = certificate.public_key()
            now = self.clock.now()
            is_valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
            signature = base64.b64decode(envelope.get("Signature", ""), validate=True)
            if not isinstance(key, RSAPublicKey) or not is_valid:
                raise BadSignatureError
            key.verify(signature, content.encode("utf-8", "replace"), PKCS1v15(), algorithm)
        except (InvalidSignature, ValueError, binascii.Error) as error:
            raise BadSignatureError from error

    def _check_age(self, timestamp: str) -> None:
        try:
            age_s = self.clock.epoch_s() - datetime.fromisoformat(timestamp).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise BadSignatureError from error
        if not -_MAX_AHEAD_S <= age_s <= _MAX_AGE_S:
            raise BadSignatureError

    async def _confirm(self, url: str) -> None:
        if not _is_amazons(url):
            raise BadSignatureError
        await self.fetch(url)


def _is_amazons(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_plain = parts.scheme == "https" and port in {None, 443} and parts.username is None
    return is_plain and url.isascii() and _HOST.fullmatch(parts.hostname or "") is not None


def _object(body: bytes) -> dict[str, str]:
    """The texts of a JSON object.

    Raises:
        BadSignatureError: it is none, so nobody has signed it.
    """
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadSignatureError from error
    if not isinstance(found, dict):
        raise BadSignatureError
    values = cast("dict[str, Any]", found)
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _receipts(event_id: str, event: Any) -> Sequence[Receipt]:
    """Read an event of SES.

    Raises:
        ReceiptInvalidError: it is none.
    """
    try:
        reference = event["mail"]["messageId"]
        name = event.get("eventType") or event.get("notificationType")
        found = _read_event(str(name), event)
        tags: Any = event["mail"].get("tags")
        key = str(tags[KEY_TAG][0]) if tags and KEY_TAG in tags else ""
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReceiptInvalidError from error
    is_fine = isinstance(reference, str) and 0 < len(reference) <= _MAX_ID
    if not is_fine or "\x00" in reference or not 0 < len(event_id) <= _MAX_ID:
        raise ReceiptInvalidError
    if found is None:
        return ()
    kind, at, code, detail, is_bad = found
    shown = detail.replace("\x00", "")[:_MAX_DETAIL]
    return (
        Receipt(
            event_id, reference, kind, _moment(at), code.replace("\x00", ""), shown, is_bad, key
        ),
    )


def _read_event(name: str, event: dict[str, Any]) -> tuple[ReceiptKind, Any, str, str, bool] | None:
    """What an event means: `(kind, time, code, detail, is_address_bad)`."""
    if name == "Send":
        return ReceiptKind.SENT, event["mail"].get("timestamp"), "", "", False
    if name == "Delivery":
        told = event["delivery"]
        detail = str(told.get("smtpResponse") or "")
        return ReceiptKind.DELIVERED, told.get("timestamp"), "", detail, False
    if name == "Bounce":
        told = event["bounce"]
        code = f"{told['bounceType']}/{told.get('bounceSubType', '')}"[:60]
        people: Any = told.get("bouncedRecipients") or [{}]
        detail = str(people[0].get("diagnosticCode") or "")
        is_bad = told["bounceType"] == "Permanent"
        return ReceiptKind.BOUNCED, told.get("timestamp"), code, detail, is_bad
    if name == "Complaint":
        told = event["complaint"]
        code = str(told.get("complaintFeedbackType") or "complaint")[:60]
        return ReceiptKind.COMPLAINED, told.get("timestamp"), code, "", True
    return None


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


@dataclass(slots=True)
class Certificates:
    """Fetches from Amazon and keeps certificates, whose addresses change when they do."""

    around: Surroundings
    kept: dict[str, bytes]

    async def __call__(self, url: str) -> bytes:
        """Fetch.

        Raises:
            BadSignatureError: there is nothing that could be used.
        """
        if url in self.kept:
            return self.kept[url]
        try:
            answer = await self.around.strangers.request("GET", url)
        except PosthouseError as error:
            raise BadSignatureError from error
        if answer.status != 200:  # noqa: PLR2004  HTTP's own
            raise BadSignatureError
        if urlsplit(url).path.endswith(".pem"):
            if len(self.kept) >= _MAX_KEPT:
                self.kept.clear()
            self.kept[url] = answer.body
        return answer.body


_MAX_KEPT = 20


def open_receiver(options: SesOptions, secrets: SesSecrets, around: Surroundings) -> Receiver:
    """Open what reads the notifications of a topic."""
    del secrets
    fetch = around.fetch or Certificates(around, {})
    return SesReceiver(options.topic_arn, fetch, around.clock)
