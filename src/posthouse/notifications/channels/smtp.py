"""Email by SMTP: pooled connections, and one round trip less with PIPELINING.

A message is in doubt only between its last dot and the answer to it; whatever goes wrong before
is a refusal, and a kept connection that has died meanwhile is tried once more on a fresh one.
Sources: RFC 5321, RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 1870 (SIZE),
RFC 6531 (SMTPUTF8).
"""

import asyncio
import base64
import math
import ssl
from dataclasses import dataclass, field

from posthouse.notifications.channels.emailing import (
    EmailSecrets,
    Letter,
    Letters,
    SmtpOptions,
    SmtpSecrets,
    Tls,
    open_letters,
)
from posthouse.notifications.channels.hosts import HostRefusedError, HostUnknownError
from posthouse.notifications.channels.protocol import Provider, Surroundings
from posthouse.notifications.channels.smtpcodes import Stage, refusal
from posthouse.notifications.channels.smtpwire import LostError, Reply, Wire
from posthouse.notifications.errors import EmailInvalidError
from posthouse.notifications.model import (
    Accepted,
    Failure,
    Outcome,
    Outgoing,
    Refused,
    Unknown,
)

# What fits into the system's buffer goes out in one piece with its last dot.
_AT_ONCE_BYTES = 65_536
_MAX_IDLE = 100
_MAX_DETAIL = 200
_TIMEOUT = "timeout"
_ENVELOPE = (Stage.MAIL, Stage.RCPT, Stage.DATA)
# A deadline is kept to a fiftieth of itself.
_TICKS = 50
_CLOSING = 421
_READY, _GO_AHEAD, _FIRST_BAD = 220, 354, 400
_OK, _AUTHENTICATED, _MORE, _FIRST_REDIRECT = 250, 235, 334, 300


class _RefusedError(Exception):
    """There is no connection, and this is why."""

    def __init__(self, outcome: Refused) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class _ClosingError(_RefusedError):
    """The server closes the connection and has taken nothing."""


@dataclass(slots=True)
class _Progress:
    """When it must have ended, and whether the server may have taken the message over."""

    due_at: float
    is_handed_over: bool = False

    def lost(self, code: str) -> Outcome:
        """What a lost connection means."""
        if self.is_handed_over:
            return Unknown(code, "The connection ended before the server said whether it took it.")
        return Refused(Failure.TRANSIENT, code, "The connection ended before the message was sent.")


@dataclass(slots=True)
class Smtp:
    """Sends emails over connections that it keeps for a while."""

    options: SmtpOptions
    secrets: SmtpSecrets
    around: Surroundings
    letters: Letters
    _idle: list[Wire] = field(default_factory=list[Wire], init=False)
    _all: set[Wire] = field(default_factory=set[Wire], init=False)
    _sweep: asyncio.TimerHandle | None = field(default=None, init=False)
    _watch: asyncio.TimerHandle | None = field(default=None, init=False)
    _is_closed: bool = field(default=False, init=False)

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one email."""
        try:
            letter = self.letters.write(outgoing)
        except EmailInvalidError as error:
            return Refused(Failure.PERMANENT, "email-invalid", str(error))
        progress = _Progress(asyncio.get_running_loop().time() + self.around.total_s)
        try:
            return await self._hand_over(letter, progress)
        except TimeoutError:
            return progress.lost(_TIMEOUT)
        except LostError as error:
            return progress.lost(error.code)
        except _RefusedError as error:
            return error.outcome

    async def close(self) -> None:
        """End all connections, those in use too."""
        self._is_closed = True
        for timer in (self._sweep, self._watch):
            if timer is not None:
                timer.cancel()
        for wire in self._idle:
            wire.part()
        for wire in self._all - set(self._idle):
            wire.abort()
        self._idle.clear()
        self._all.clear()

    async def _hand_over(self, letter: Letter, progress: _Progress) -> Outcome:
        kept = self._take()
        if kept is not None:
            try:
                return await self._use(kept, letter, progress)
            except (LostError, _ClosingError) as error:
                is_late = isinstance(error, LostError) and error.code == _TIMEOUT
                if progress.is_handed_over or is_late or self._is_closed:
                    raise
        async with asyncio.timeout_at(progress.due_at):
            wire = await self._connect()
        return await self._use(wire, letter, progress)

    async def _use(self, wire: Wire, letter: Letter, progress: _Progress) -> Outcome:
        """Send over a connection and keep it if it is still good."""
        is_good = False
        wire.due_at = progress.due_at
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._tick_s, self._end_late)
        try:
            outcome = await _converse(wire, letter, progress)
            is_good = True
            return outcome
        finally:
            if is_good and wire.is_usable and not self._is_closed:
                self._give(wire)
            else:
                wire.abort()
                self._all.discard(wire)

    def _take(self) -> Wire | None:
        """The connection that was used last, for it is the most likely to be alive."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable and now - wire.released_at < self.around.idle_s:
                return wire
            self._drop(wire)
        return None

    def _give(self, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        wire.due_at, wire.released_at = math.inf, loop.time()
        self._idle.append(wire)
        if len(self._idle) > _MAX_IDLE:
            self._drop(self._idle.pop(0))
        if self._sweep is None:
            self._sweep = loop.call_later(self.around.idle_s, self._drop_old)

    def _drop(self, wire: Wire) -> None:
        wire.part()
        self._all.discard(wire)

    def _drop_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self.around.idle_s
        while self._idle and self._idle[0].released_at <= oldest:
            self._drop(self._idle.pop(0))
        self._sweep = None
        if self._idle:
            next_s = self._idle[0].released_at - oldest
            self._sweep = loop.call_later(next_s, self._drop_old)

    @property
    def _tick_s(self) -> float:
        return self.around.total_s / _TICKS

    def _end_late(self) -> None:
        """End what takes too long: one timer for all costs less than one for each message."""
        loop = asyncio.get_running_loop()
        now, self._watch = loop.time(), None
        for wire in [one for one in self._all if one.due_at <= now]:
            wire.abort(_TIMEOUT)
        if any(one.due_at < math.inf for one in self._all):
            self._watch = loop.call_later(self._tick_s, self._end_late)

    async def _connect(self) -> Wire:
        """Open a connection that is ready for mail.

        Raises:
            _RefusedError: there is none.
        """
        wire: Wire | None = None
        is_ready = False
        try:
            wire = await self._reach()
            self._all.add(wire)
            await self._greet(wire)
        except HostRefusedError as error:
            raise _RefusedError(Refused(Failure.CONFIG, "private-address")) from error
        except ssl.SSLCertVerificationError as error:
            detail = error.verify_message
            raise _RefusedError(Refused(Failure.CONFIG, "tls-certificate", detail)) from error
        except (HostUnknownError, OSError) as error:  # an SSLError is an OSError
            detail = f"{self.options.host} cannot be reached: {type(error).__name__}"
            raise _RefusedError(Refused(Failure.TRANSIENT, "connect-failed", detail)) from error
        else:
            is_ready = True
            return wire
        finally:
            if wire is not None and not is_ready:
                wire.abort()
                self._all.discard(wire)

    async def _reach(self) -> Wire:
        options, loop = self.options, asyncio.get_running_loop()
        is_implicit = options.tls is Tls.IMPLICIT
        tls, name = (self._tls(), options.host) if is_implicit else (None, None)
        async with asyncio.timeout(self.around.connect_s):
            addresses = await self.around.hosts.addresses(options.host, options.port_or_usual)
            for at, address in enumerate(addresses):
                try:
                    _, wire = await loop.create_connection(
                        Wire, address, options.port_or_usual, ssl=tls, server_hostname=name
                    )
                except ssl.SSLError:
                    raise
                except OSError:
                    if at == len(addresses) - 1:
                        raise
                else:
                    return wire
        raise HostUnknownError

    async def _greet(self, wire: Wire) -> None:
        _expect(await wire.reply(), _READY, Stage.BANNER)
        await self._hello(wire)
        if self.options.tls is Tls.STARTTLS:
            if "STARTTLS" not in wire.extensions:
                detail = "The server offers no STARTTLS; choose another `tls`."
                raise _RefusedError(Refused(Failure.CONFIG, "tls-missing", detail))
            _expect(await wire.ask(b"STARTTLS"), _READY, Stage.TLS)
            await wire.secure(self._tls(), self.options.host)
            await self._hello(wire)
        if self.options.username is not None:
            await self._authenticate(wire)

    async def _hello(self, wire: Wire) -> None:
        reply = await wire.ask(f"EHLO {self.letters.sender.domain}".encode())
        _expect(reply, _OK, Stage.EHLO)
        words = (line.partition(" ") for line in reply.lines[1:])
        wire.extensions = {name.upper(): rest for name, _, rest in words}

    async def _authenticate(self, wire: Wire) -> None:
        name = (self.options.username or "").encode()
        password = (
            self.secrets.password.get_secret_value().encode() if self.secrets.password else b""
        )
        mechanisms = wire.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            token = base64.b64encode(b"\0" + name + b"\0" + password)
            _expect(await wire.ask(b"AUTH PLAIN " + token), _AUTHENTICATED, Stage.AUTH)
        elif "LOGIN" in mechanisms:
            _expect(await wire.ask(b"AUTH LOGIN"), _MORE, Stage.AUTH)
            _expect(await wire.ask(base64.b64encode(name)), _MORE, Stage.AUTH)
            _expect(await wire.ask(base64.b64encode(password)), _AUTHENTICATED, Stage.AUTH)
        else:
            detail = "The server takes neither AUTH PLAIN nor LOGIN."
            raise _RefusedError(Refused(Failure.CONFIG, "auth-unsupported", detail))

    def _tls(self) -> ssl.SSLContext:
        if self.around.tls is not None:
            return self.around.tls
        return ssl.create_default_context(cadata=self.options.authority)


def _expect(reply: Reply, code: int, stage: Stage) -> None:
    """Go on only after the answer that was hoped for.

    Raises:
        _RefusedError: it is another.
    """
    if reply.code != code:
        raise _RefusedError(refusal(reply.code, reply.text, stage))


async def _converse(wire: Wire, letter: Letter, progress: _Progress) -> Outcome:
    """Hand a message over; `progress` knows how far it was if the connection ends."""
    impossible = _impossible(wire, letter)
    if impossible is not None:
        return impossible
    refused, is_waiting = await _envelope(wire, letter)
    if refused is None:
        return await _end(wire, letter, progress)
    if is_waiting:
        # RFC 2920 section 3.1: nobody is there to get it, and the server waits for an end.
        await wire.ask(b".")
    await _reset(wire)
    return refused


async def _envelope(wire: Wire, letter: Letter) -> tuple[Refused | None, bool]:
    """Say who it is from and for; why it is refused, and whether the server waits for it.

    Raises:
        LostError: the connection ended.
        _ClosingError: the server closes it.
    """
    parameters = " SMTPUTF8 BODY=8BITMIME" if letter.needs_utf8 else ""
    mail = f"MAIL FROM:<{letter.sender}>{parameters}\r\n"
    commands = (mail.encode(), f"RCPT TO:<{letter.recipient}>\r\n".encode(), b"DATA\r\n")
    refused: Refused | None = None
    is_waiting = False
    is_pipelined = "PIPELINING" in wire.extensions
    if is_pipelined:
        wire.write(b"".join(commands))
    for stage, command in zip(_ENVELOPE, commands, strict=True):
        if not is_pipelined:
            wire.write(command)
        try:
            reply = wire.ready() or await wire.reply()
        except LostError:
            if refused is None:
                raise
            break
        is_waiting = stage is Stage.DATA and reply.code == _GO_AHEAD
        if is_waiting or (stage is not Stage.DATA and _OK <= reply.code < _FIRST_REDIRECT):
            continue
        refused = refused or refusal(reply.code, _said(reply, letter), stage)
        if reply.code == _CLOSING and stage is Stage.MAIL:
            raise _ClosingError(refused)
        if not is_pipelined:
            break
    return refused, is_waiting


def _impossible(wire: Wire, letter: Letter) -> Refused | None:
    """Why this server cannot take this message, by what it has said of itself."""
    if letter.needs_utf8 and "SMTPUTF8" not in wire.extensions:
        detail = "The server takes only addresses in ASCII (no SMTPUTF8)."
        return Refused(Failure.PERMANENT, "smtputf8-unsupported", detail)
    size = wire.extensions.get("SIZE", "").strip()
    if size.isascii() and size.isdigit() and 0 < int(size[:18]) < len(letter.content):
        detail = f"It has {len(letter.content)} bytes, and the server takes {size[:18]}."
        return Refused(Failure.PERMANENT, "too-large", detail)
    return None


async def _end(wire: Wire, letter: Letter, progress: _Progress) -> Outcome:
    content = letter.content
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if len(content) > _AT_ONCE_BYTES:
        wire.write(content)
        await wire.drain()
        content = b""
    progress.is_handed_over = True
    wire.write(content + b".\r\n")
    reply = await wire.reply()
    progress.is_handed_over = False
    if _OK <= reply.code < _FIRST_REDIRECT:
        return Accepted(detail=reply.text[:_MAX_DETAIL])
    await _reset(wire)
    return refusal(reply.code, _said(reply, letter), Stage.END)


def _said(reply: Reply, letter: Letter) -> str:
    """What the server said, without the address: it is shown to people who may not see that."""
    return reply.text.replace(letter.recipient, "…")


async def _reset(wire: Wire) -> None:
    """Forget the refused message; if that fails the connection is not used again."""
    try:
        reply = await wire.ask(b"RSET")
    except LostError:
        return
    if reply.code >= _FIRST_BAD:
        wire.abort()


def open_smtp(options: SmtpOptions, secrets: SmtpSecrets, around: Surroundings) -> Provider:
    """Open a provider that sends by SMTP."""
    signing = EmailSecrets(dkim_key=secrets.dkim_key)
    return Smtp(options, secrets, around, open_letters(options, signing, around.clock))
