"""Text messages by Twilio.

Twilio has no key that makes a repeat harmless, so whatever may have been taken over is in doubt.
Source: Twilio, "Messages resource" and its "Error and Warning Dictionary".
"""

import base64
from dataclasses import dataclass
from typing import Annotated, Any, Self
from urllib.parse import quote, urlencode

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from posthouse.kernel.text import Flag, Line
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.sms import PhoneInvalidError, country_of, parse_number
from posthouse.notifications.channels.web import Endpoint, Web, WebAnswer
from posthouse.notifications.model import (
    Accepted,
    Failure,
    Outcome,
    Outgoing,
    Refused,
    SmsContent,
    Unknown,
)

_MAX_VALIDITY_S = 36_000
_MAX_DETAIL = 500
_OK, _BAD, _TOO_MANY, _SERVER, _UNAVAILABLE = 200, 300, 429, 500, 503
_ADDRESS_BAD = frozenset({21211, 21610, 21614})
_CONFIG = frozenset({20003, 20404, 21212, 21408, 21603, 21606, 21608, 21659, 21660, 21703})
_MAINTENANCE = 21730
_RATE = 20429
_REFUSED_US = frozenset({401, 403, 404})


def _number(text: str) -> str:
    """Give a number as E.164.

    Raises:
        PydanticCustomError: `phone-invalid`.
    """
    try:
        return parse_number(text)
    except PhoneInvalidError as error:
        raise PydanticCustomError("phone-invalid", "Write it like +4915112345678") from error


Number = Annotated[Line, StringConstraints(max_length=64), AfterValidator(_number)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class TwilioOptions(BaseModel):
    """An account and what it sends from."""

    model_config = ConfigDict(extra="forbid")

    account_sid: Annotated[str, StringConstraints(pattern=r"^AC[0-9a-fA-F]{32}$")]
    api_key_sid: Annotated[str, StringConstraints(pattern=r"^SK[0-9a-fA-F]{32}$")] | None = Field(
        None, description="With one, the secret `api_key_secret` is used instead of the token."
    )
    from_number: Number | None = None
    messaging_service_sid: (
        Annotated[str, StringConstraints(pattern=r"^MG[0-9a-fA-F]{32}$")] | None
    ) = None
    countries: list[Country] = Field(
        default_factory=list[str],
        max_length=250,
        description="Where messages may go. Empty: the country of `from_number` only.",
    )
    status_callback: Flag = Field(True, description="Ask Twilio to tell what became of each.")
    endpoint: Endpoint = "https://api.twilio.com"

    @model_validator(mode="after")
    def _has_a_sender(self) -> Self:
        if (self.from_number is None) == (self.messaging_service_sid is None):
            raise PydanticCustomError(
                "sender-invalid", "Give either from_number or messaging_service_sid"
            )
        return self

    @property
    def allowed_countries(self) -> frozenset[str]:
        """Where messages may go."""
        if self.countries:
            return frozenset(self.countries)
        own = country_of(self.from_number) if self.from_number else None
        return frozenset({own} if own else ())


class TwilioSecrets(BaseModel):
    """The account's token, which also signs what Twilio tells us."""

    model_config = ConfigDict(extra="forbid")

    auth_token: SecretStr = Field(min_length=1, max_length=256)
    api_key_secret: SecretStr | None = Field(None, max_length=256)


@dataclass(frozen=True, slots=True)
class Twilio:
    """Sends text messages by Twilio."""

    options: TwilioOptions
    secrets: TwilioSecrets
    around: Surroundings
    web: Web

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one text message."""
        content = outgoing.content
        if not isinstance(content, SmsContent):
            return Refused(Failure.PERMANENT, "content-invalid", "This is no text message.")
        try:
            number = parse_number(outgoing.address)
        except PhoneInvalidError:
            return Refused(Failure.PERMANENT, "phone-invalid")
        if country_of(number) not in self.options.allowed_countries:
            return Refused(Failure.PERMANENT, "country-refused", "The provider does not list it.")
        form = {"To": number, "Body": content.text}
        if self.options.from_number is not None:
            form["From"] = self.options.from_number
        if self.options.messaging_service_sid is not None:
            form["MessagingServiceSid"] = self.options.messaging_service_sid
        if self.options.status_callback and self.around.callback_url:
            # The key comes back with the receipt, also for a message that is in doubt.
            form["StatusCallback"] = f"{self.around.callback_url}?key={quote(outgoing.key)}"
        if outgoing.expires_at is not None:
            left_s = int((outgoing.expires_at - self.around.clock.now()).total_seconds())
            form["ValidityPeriod"] = str(min(max(1, left_s), _MAX_VALIDITY_S))
        account = self.options.account_sid
        url = f"{self.options.endpoint}/2010-04-01/Accounts/{account}/Messages.json"
        headers = {
            "Authorization": self._credentials(),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        body = urlencode(form, errors="replace").encode()
        answer = await self.web.ask("POST", url, headers, body)
        return self._read(answer) if isinstance(answer, WebAnswer) else answer

    async def close(self) -> None:
        """End all connections."""
        await self.web.close()

    def _credentials(self) -> str:
        user, secret = self.options.account_sid, self.secrets.auth_token
        if self.options.api_key_sid is not None and self.secrets.api_key_secret is not None:
            user, secret = self.options.api_key_sid, self.secrets.api_key_secret
        pair = f"{user}:{secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _read(self, answer: WebAnswer) -> Outcome:
        found = answer.json()
        if _OK <= answer.status < _BAD:
            sid = found.get("sid")
            if isinstance(sid, str) and sid:
                return Accepted(sid)
            return Unknown("unreadable-answer", answer.text)
        return self._refusal(answer, found)

    def _refusal(self, answer: WebAnswer, found: dict[str, Any]) -> Outcome:
        number = found.get("code")
        code = number if isinstance(number, int) else 0
        detail = str(found.get("message") or answer.text)[:_MAX_DETAIL]
        shown = str(code or answer.status)
        if answer.status >= _SERVER and code != _MAINTENANCE and answer.status != _UNAVAILABLE:
            return Unknown(shown, detail)
        failure = Failure.PERMANENT
        if code == _RATE or answer.status == _TOO_MANY:
            failure = Failure.THROTTLED
        elif code == _MAINTENANCE or answer.status == _UNAVAILABLE:
            failure = Failure.TRANSIENT
        elif code in _CONFIG or answer.status in _REFUSED_US:
            failure = Failure.CONFIG
        return Refused(
            failure,
            shown,
            detail,
            retry_after_s=answer.retry_after_s(self.around.clock),
            is_address_bad=code in _ADDRESS_BAD,
        )


def open_twilio(options: TwilioOptions, secrets: TwilioSecrets, around: Surroundings) -> Provider:
    """Open a provider that sends by Twilio."""
    return Twilio(options, secrets, around, Web(around))
