"""What Twilio tells of text messages: a form, signed with the account's token.

Source: Twilio, "Security: validating requests" (HMAC-SHA1 over the URL and the sorted form) and
"Track the message status".
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from posthouse.notifications.channels.protocol import Call, Receiver, Surroundings
from posthouse.notifications.channels.twilio import TwilioOptions, TwilioSecrets
from posthouse.notifications.errors import BadSignatureError, ReceiptInvalidError
from posthouse.notifications.model import Receipt, ReceiptKind

_MAX_FIELDS = 200
_MAX_ID = 200
_KINDS = {
    "sent": ReceiptKind.SENT,
    "delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.DELIVERED,
    "undelivered": ReceiptKind.BOUNCED,
    "failed": ReceiptKind.BOUNCED,
}
# Unknown handset, and a number that cannot take text messages.
_ADDRESS_BAD = frozenset({"30005", "30006"})


@dataclass(frozen=True, slots=True)
class TwilioReceiver:
    """Reads Twilio's calls for one account."""

    token: str

    async def read(self, call: Call) -> Sequence[Receipt]:
        """Check the signature and give what it tells.

        Raises:
            BadSignatureError: it is not Twilio's.
            ReceiptInvalidError: it names no message.
        """
        try:
            form = parse_qsl(
                call.body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
            )
        except ValueError as error:
            raise BadSignatureError from error
        expected = signature(self.token, call.url, form)
        given = call.headers.get("x-twilio-signature", "")
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            raise BadSignatureError
        values = dict(form)
        sid = values.get("MessageSid") or values.get("SmsSid") or ""
        status = (values.get("MessageStatus") or values.get("SmsStatus") or "").lower()
        if not 0 < len(sid) <= _MAX_ID or "\x00" in sid:
            raise ReceiptInvalidError("It names no message.")
        kind = _KINDS.get(status)
        if kind is None:
            return ()
        code = values.get("ErrorCode", "")[:20].replace("\x00", "")
        is_bad = kind is ReceiptKind.BOUNCED and code in _ADDRESS_BAD
        key = dict(parse_qsl(urlsplit(call.url).query)).get("key", "")
        event = f"{sid}:{status}"
        return (Receipt(event, sid, kind, code=code, is_address_bad=is_bad, key=key),)


def signature(token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """Sign a URL and a form as Twilio does."""
    content = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(token.encode(), content.encode(), "sha1")).decode()


def open_receiver(options: TwilioOptions, secrets: TwilioSecrets, around: Surroundings) -> Receiver:
    """Open what reads Twilio's calls."""
    del options, around
    return TwilioReceiver(secrets.auth_token.get_secret_value())
