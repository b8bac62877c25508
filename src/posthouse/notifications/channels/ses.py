"""Email by Amazon SES, version 2 of its API; the email goes as we wrote it.

Source: Amazon SES API v2, SendEmail and its errors.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints

from posthouse.kernel.text import Line
from posthouse.notifications.channels.emailing import (
    EmailOptions,
    EmailSecrets,
    Letters,
    open_letters,
)
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.sigv4 import AwsKey, signed_headers
from posthouse.notifications.channels.web import Endpoint, Web, WebAnswer
from posthouse.notifications.errors import EmailInvalidError
from posthouse.notifications.model import (
    Accepted,
    Failure,
    Outcome,
    Outgoing,
    Refused,
    Unknown,
)

_NOT_OURS = re.compile(r"not verified|not have authority to send")
KEY_TAG = "key"
_QUOTA_WAIT_S = 3600.0
_MAX_DETAIL = 500
_OK, _BAD, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER = 200, 300, 401, 403, 429, 500
_CONFIG = frozenset(
    {
        "AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException",
        "NotFoundException",
    }
)  # fmt: skip
_THROTTLED = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException"}
)


class SesOptions(EmailOptions):
    """A region of SES."""

    region: Annotated[
        str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$", max_length=32)
    ]
    access_key_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{4,128}$")]
    configuration_set: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None
    ) = Field(None, description="Its events are how deliveries and bounces come back.")
    topic_arn: Annotated[Line, StringConstraints(max_length=512, pattern=r"^arn:aws")] | None = (
        Field(None, description="The SNS topic whose notifications are taken in.")
    )
    endpoint: Endpoint | None = Field(None, description="Without one: that of the region.")


class SesSecrets(EmailSecrets):
    """The key of an IAM user that may send."""

    secret_access_key: SecretStr = Field(min_length=1, max_length=256)
    session_token: SecretStr | None = Field(None, max_length=4096)


@dataclass(frozen=True, slots=True)
class Ses:
    """Sends emails by SES."""

    options: SesOptions
    key: AwsKey
    around: Surroundings
    letters: Letters
    web: Web

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one email."""
        try:
            letter = self.letters.write(outgoing)
        except EmailInvalidError as error:
            return Refused(Failure.PERMANENT, "email-invalid", str(error))
        if letter.needs_utf8:
            return Refused(Failure.PERMANENT, "smtputf8-unsupported", "SES takes only ASCII.")
        wanted: dict[str, Any] = {
            "FromEmailAddress": letter.sender,
            "Destination": {"ToAddresses": [letter.recipient]},
            # It comes back with each event, also for a message that is in doubt.
            "EmailTags": [{"Name": KEY_TAG, "Value": outgoing.key}],
            "Content": {"Raw": {"Data": base64.b64encode(letter.content).decode()}},
        }
        if self.options.configuration_set:
            wanted["ConfigurationSetName"] = self.options.configuration_set
        answer = await self._post("/v2/email/outbound-emails", json.dumps(wanted).encode())
        return _read(answer) if isinstance(answer, WebAnswer) else answer

    async def close(self) -> None:
        """End all connections."""
        await self.web.close()

    async def _post(self, path: str, body: bytes) -> WebAnswer | Refused | Unknown:
        region = self.options.region
        base = self.options.endpoint or f"https://email.{region}.amazonaws.com"
        headers = signed_headers(
            "POST",
            base + path,
            {"Content-Type": "application/json"},
            body,
            key=self.key,
            scope=(region, "ses"),
            at=self.around.clock.now(),
        )
        return await self.web.ask("POST", base + path, headers, body)


def _read(answer: WebAnswer) -> Outcome:
    found = answer.json()
    if _OK <= answer.status < _BAD:
        reference = found.get("MessageId")
        if isinstance(reference, str) and reference:
            return Accepted(reference)
        return Unknown("unreadable-answer", answer.text)
    name = str(answer.headers.get("x-amzn-errortype") or found.get("__type") or "")
    name = name.partition(":")[0].rpartition("#")[2]
    detail = str(found.get("message") or found.get("Message") or answer.text)[:_MAX_DETAIL]
    return _refusal(answer.status, name, detail)


def _refusal(status: int, name: str, detail: str) -> Refused:
    code = name or str(status)
    if "Daily message quota" in detail or "daily quota" in detail.lower():
        return Refused(Failure.THROTTLED, code, detail, retry_after_s=_QUOTA_WAIT_S)
    if name in _THROTTLED or status == _TOO_MANY or "Maximum sending rate" in detail:
        return Refused(Failure.THROTTLED, code, detail)
    if name in _CONFIG or status in {_UNAUTHORIZED, _FORBIDDEN} or _NOT_OURS.search(detail):
        return Refused(Failure.CONFIG, code, detail)
    if status >= _SERVER:
        return Refused(Failure.TRANSIENT, code, detail)
    return Refused(Failure.PERMANENT, code, detail)


def open_ses(options: SesOptions, secrets: SesSecrets, around: Surroundings) -> Provider:
    """Open a provider that sends by SES."""
    token = secrets.session_token.get_secret_value() if secrets.session_token else None
    key = AwsKey(options.access_key_id, secrets.secret_access_key.get_secret_value(), token)
    return Ses(options, key, around, open_letters(options, secrets, around.clock), Web(around))
