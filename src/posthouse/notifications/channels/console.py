"""Development twins: messages go into a folder and a line of the log, and to nobody."""

import asyncio
import json
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from posthouse.notifications.channels.emailing import (
    EmailOptions,
    EmailSecrets,
    Letters,
    open_letters,
)
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.sms import PhoneInvalidError, parse_number
from posthouse.notifications.errors import EmailInvalidError
from posthouse.notifications.model import (
    Accepted,
    EmailContent,
    Failure,
    Outcome,
    Outgoing,
    PushContent,
    Refused,
    SmsContent,
)

log = logging.getLogger("posthouse.notifications.console")

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,190}")
# A name, not a path: whoever configures a provider does not choose where this machine writes.
_Folder = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
    Field(description="A folder in the data directory's `messages`."),
]


class ConsoleOptions(BaseModel):
    """Where messages are written."""

    model_config = ConfigDict(extra="forbid")

    folder: _Folder = "console"


class ConsoleEmailOptions(EmailOptions):
    """Who emails are from and where they are written."""

    folder: _Folder = "console"


class ConsoleSecrets(BaseModel):
    """There are none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Console:
    """Writes each message into a file that is named after its key; a repeat replaces it.

    Without `letters` it takes content of the kind `takes`, as JSON.
    """

    folder: Path
    takes: type[EmailContent | SmsContent | PushContent]
    letters: Letters | None = None

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Write one message."""
        if not isinstance(outgoing.content, self.takes) or not _KEY.fullmatch(outgoing.key):
            return Refused(Failure.PERMANENT, "content-invalid", "It is of another channel.")
        try:
            name, content = self._written(outgoing)
        except EmailInvalidError as error:
            return Refused(Failure.PERMANENT, "email-invalid", str(error))
        except PhoneInvalidError:
            return Refused(Failure.PERMANENT, "phone-invalid")
        try:
            await asyncio.to_thread(_put, self.folder / name, content)
        except OSError as error:
            return Refused(Failure.TRANSIENT, "not-written", error.strerror or "")
        log.info("a message was written to %s and sent to nobody", self.folder / name)
        return Accepted(outgoing.key, "written, not sent")

    async def close(self) -> None:
        """Nothing is kept open."""

    def _written(self, outgoing: Outgoing) -> tuple[str, bytes]:
        if self.letters is not None:
            return f"{outgoing.key}.eml", self.letters.write(outgoing).content
        address = outgoing.address
        if self.takes is SmsContent:
            address = parse_number(address)
        shown = {"key": outgoing.key, "address": address, **asdict(outgoing.content)}
        return f"{outgoing.key}.json", json.dumps(shown, indent=2).encode()


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(content)


def _folder(around: Surroundings, name: str) -> Path:
    return around.folder / "messages" / name


def open_email(
    options: ConsoleEmailOptions, secrets: EmailSecrets, around: Surroundings
) -> Provider:
    """Open a provider that writes emails into files."""
    letters = open_letters(options, secrets, around.clock)
    return Console(_folder(around, options.folder), EmailContent, letters)


def open_sms(options: ConsoleOptions, secrets: ConsoleSecrets, around: Surroundings) -> Provider:
    """Open a provider that writes text messages into files."""
    del secrets
    return Console(_folder(around, options.folder), SmsContent)


def open_push(options: ConsoleOptions, secrets: ConsoleSecrets, around: Surroundings) -> Provider:
    """Open a provider that writes push messages into files."""
    del secrets
    return Console(_folder(around, options.folder), PushContent)
