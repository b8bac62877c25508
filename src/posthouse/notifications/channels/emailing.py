"""What all providers of email have in common: who it is from, and DKIM."""

import ipaddress
import re
import secrets as random_source
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from posthouse.kernel.clock import Clock
from posthouse.kernel.text import Line, Str, refuse_empty, tidy_name
from posthouse.notifications.channels.dkim import DkimSigner, KeyUnusableError, read_key
from posthouse.notifications.errors import EmailInvalidError, ProviderInvalidError
from posthouse.notifications.mime import Mailbox, Skeleton
from posthouse.notifications.model import Outgoing

_LABELS = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_USUAL_PORTS = {"none": 25, "starttls": 587, "implicit": 465}


def _check_address(text: str) -> str:
    """Give an address back if it is one.

    Raises:
        PydanticCustomError: `address-invalid`.
    """
    try:
        mailbox = Mailbox.of(text)
    except EmailInvalidError as error:
        raise PydanticCustomError("address-invalid", "This is not an email address") from error
    if mailbox.needs_utf8:
        raise PydanticCustomError("address-invalid", "A sender's address must be in ASCII")
    return text


def _check_host(text: str) -> str:
    """Give a host back if it is a name or an IP address.

    Raises:
        PydanticCustomError: `host-invalid`.
    """
    if _LABELS.fullmatch(text):
        return text
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise PydanticCustomError("host-invalid", "This is not the name of a host") from error
    return text


def _check_authority(text: str) -> str:
    """Give certificates back if TLS can read them.

    Raises:
        PydanticCustomError: `certificate-invalid`.
    """
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise PydanticCustomError("certificate-invalid", "This is no certificate in PEM") from error
    return text


SenderAddress = Annotated[
    str,
    StringConstraints(max_length=320),
    AfterValidator(tidy_name),
    AfterValidator(refuse_empty),
    AfterValidator(_check_address),
]
Host = Annotated[
    str,
    StringConstraints(max_length=253),
    AfterValidator(tidy_name),
    AfterValidator(refuse_empty),
    AfterValidator(_check_host),
]
Label = Annotated[Host, Field(description="A part of a domain.")]
Authority = Annotated[
    Str, StringConstraints(max_length=65_536, min_length=1), AfterValidator(_check_authority)
]
ShortLine = Annotated[str, StringConstraints(max_length=200), AfterValidator(tidy_name)]


class Tls(StrEnum):
    """How a connection is kept secret."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Dkim(BaseModel):
    """Whose key signs; its public half is in the DNS at `<selector>._domainkey.<domain>`."""

    model_config = ConfigDict(extra="forbid")

    selector: Label
    domain: Host


class EmailOptions(BaseModel):
    """Who emails are from."""

    model_config = ConfigDict(extra="forbid")

    from_address: SenderAddress = Field(description="The sender's address.")
    from_name: ShortLine = Field("", description="The sender's name, as readers see it.")
    reply_to: SenderAddress | None = Field(None, description="Where answers go.")
    dkim: Dkim | None = Field(None, description="Sign with the secret `dkim_key`.")


class EmailSecrets(BaseModel):
    """The key that signs."""

    model_config = ConfigDict(extra="forbid")

    dkim_key: SecretStr | None = Field(
        None, max_length=16_384, description="A private key in PEM: RSA or Ed25519."
    )


class SmtpOptions(EmailOptions):
    """A server that takes email."""

    host: Host
    port: int | None = Field(
        None, strict=True, ge=1, le=65_535, description="Without one: 587, 465 or 25, by `tls`."
    )
    tls: Tls = Field(Tls.STARTTLS, description="With `starttls` a server without it is refused.")
    username: Annotated[Line, StringConstraints(max_length=320, min_length=1)] | None = None
    authority: Authority | None = Field(
        None, description="Certificates in PEM to trust instead of the system's."
    )

    @property
    def port_or_usual(self) -> int:
        """The port to connect to."""
        return self.port or _USUAL_PORTS[self.tls]


class SmtpSecrets(EmailSecrets):
    """The password of a server."""

    password: SecretStr | None = Field(None, max_length=1000)


@dataclass(frozen=True, slots=True)
class Letter:
    """An email that is ready to go, with its envelope."""

    sender: str
    recipient: str
    content: bytes
    needs_utf8: bool


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes and signs the emails of one provider."""

    sender: Mailbox
    skeleton: Skeleton
    clock: Clock
    signer: DkimSigner | None = None

    def write(self, outgoing: Outgoing) -> Letter:
        """Write one email.

        Raises:
            EmailInvalidError: something in it cannot be in an email.
        """
        to, now = Mailbox.of(outgoing.address, outgoing.to_name), self.clock.now()
        content = self.skeleton.fill(outgoing, at=now, to=to)
        if self.signer is not None:
            content = self.signer.sign(content, now) + content
        return Letter(self.sender.address, to.address, content, to.needs_utf8)


def open_letters(options: EmailOptions, secrets: EmailSecrets, clock: Clock) -> Letters:
    """Prepare what all emails of a provider have in common.

    Raises:
        ProviderInvalidError: the key for DKIM is missing or unusable.
    """
    sender = Mailbox.of(options.from_address, options.from_name)
    reply_to = Mailbox.of(options.reply_to) if options.reply_to else None
    signer: DkimSigner | None = None
    if options.dkim is not None:
        if secrets.dkim_key is None:
            raise ProviderInvalidError("body.secrets.dkim_key", "Signing needs a private key.")
        try:
            key = read_key(secrets.dkim_key.get_secret_value())
        except KeyUnusableError as error:
            raise ProviderInvalidError("body.secrets.dkim_key", str(error)) from error
        signer = DkimSigner(options.dkim.selector, options.dkim.domain, key)
    boundary = f"=_{random_source.token_hex(12)}"
    return Letters(sender, Skeleton(sender, boundary, reply_to), clock, signer)
