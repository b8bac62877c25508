"""Email by SMTP: against a real server, and against servers that break off at every step."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.channels.smtp import Smtp
from posthouse.notifications.model import (
    Accepted,
    Attachment,
    EmailContent,
    Failure,
    Outcome,
    Outgoing,
    Refused,
    Unknown,
)
from tests.notifications.channels.certificates import server_side
from tests.notifications.channels.rigs import EMAIL, SENDER, around, opened
from tests.notifications.channels.servers import CLOSE, HANG, OK, ScriptedSmtp, serving

OUTGOING = Outgoing("dlv_1", "ann@example.com", EMAIL, "Ann")


class Inbox:
    """Keeps what aiosmtpd takes; refuses one recipient."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.users: list[bytes] = []

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login)
        is_right = data.password == "pässword".encode()
        return AuthResult(success=is_right, handled=False)


@asynccontextmanager
async def aiosmtpd(inbox: Inbox, tls: Any = None, **options: Any) -> AsyncGenerator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(inbox, enable_SMTPUTF8=True, authenticator=inbox.authenticate, **options),
        "127.0.0.1",
        0,
        ssl=tls,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def local(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def smtp(folder: Path, port: int, secrets: dict[str, Any] | None = None, **chosen: Any) -> Smtp:
    surroundings = {key: chosen.pop(key) for key in ("hosts", "total_s", "idle_s") if key in chosen}
    options = {**SENDER, "host": "127.0.0.1", "port": port, "tls": "none", **chosen}
    surroundings.setdefault("hosts", Hosts(allows_private=True, resolve=local))
    provider = opened("smtp", options, secrets or {}, around(folder, **surroundings))
    assert isinstance(provider, Smtp)
    return provider


async def sent(provider: Provider, outgoing: Outgoing = OUTGOING) -> Outcome:
    try:
        return await provider.send(outgoing)
    finally:
        await provider.close()


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


async def test_a_real_server_takes_what_was_written(tmp_path: Path) -> None:
    inbox = Inbox()
    files = (Attachment("bill.pdf", "application/pdf", bytes(range(256)) * 4000),)
    text = ".\r\n..two dots\r\nFrom here\r\n" + "é" * 3000
    async with aiosmtpd(inbox) as port:
        wanted = replace(OUTGOING, content=EmailContent("Hé", text, "<p>.</p>"), attachments=files)
        provider = smtp(tmp_path, port)
        outcome = await provider.send(wanted)
        written = provider.letters.write(wanted).content
        await provider.close()
    assert isinstance(outcome, Accepted)
    (envelope,) = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("shop@shop.example", ["ann@example.com"])
    assert isinstance(envelope.content, bytes)
    assert envelope.content.partition(b"Message-ID")[2] == written.partition(b"Message-ID")[2]


async def test_a_real_server_refuses_and_takes_the_next_one(tmp_path: Path) -> None:
    inbox = Inbox()
    async with aiosmtpd(inbox) as port:
        provider = smtp(tmp_path, port)
        bad = refused(await provider.send(replace(OUTGOING, address="nobody@example.com")))
        assert (bad.code, bad.failure, bad.is_address_bad) == (
            "550 5.1.1", Failure.PERMANENT, True,
        )  # fmt: skip
        assert isinstance(await sent(provider), Accepted)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_connection_is_secret_and_authenticated(
    tmp_path: Path, tls: str, mechanism: str
) -> None:
    context, authority = server_side(tmp_path, "mail.example")
    inbox = Inbox()
    other = {"PLAIN": "LOGIN", "LOGIN": "PLAIN"}[mechanism]
    options: dict[str, Any] = {"auth_exclude_mechanism": [other]}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    else:
        options |= {"auth_require_tls": False}
    chosen = {"host": "mail.example", "tls": tls, "authority": authority, "username": "shop"}
    async with aiosmtpd(inbox, context if tls == "implicit" else None, **options) as port:
        outcome = await sent(smtp(tmp_path, port, {"password": "pässword"}, **chosen))
        assert isinstance(outcome, Accepted), outcome
        wrong = refused(await sent(smtp(tmp_path, port, {"password": "x"}, **chosen)))
        assert (wrong.failure, wrong.code) == (Failure.CONFIG, "535 5.7.8")
        stranger = smtp(tmp_path, port, {"password": "x"}, **{**chosen, "authority": None})
        assert refused(await sent(stranger)) == Refused(
            Failure.CONFIG, "tls-certificate", "self-signed certificate"
        )
        named = smtp(tmp_path, port, {"password": "x"}, **{**chosen, "host": "other.example"})
        assert refused(await sent(named)).code == "tls-certificate"
    assert inbox.users == [b"shop", b"shop"]


@pytest.fixture
async def side() -> AsyncGenerator[ScriptedSmtp]:
    side = ScriptedSmtp()
    async with serving(side):
        yield side


async def test_a_server_without_starttls_is_refused(tmp_path: Path, side: ScriptedSmtp) -> None:
    outcome = refused(await sent(smtp(tmp_path, side.port, tls="starttls")))
    assert (outcome.failure, outcome.code) == (Failure.CONFIG, "tls-missing")
    assert side.mails == []


async def test_what_comes_before_tls_is_not_believed(tmp_path: Path, side: ScriptedSmtp) -> None:
    side.answers["ehlo"] = b"250-x\r\n250 STARTTLS\r\n"
    side.answers["starttls"] = b"220 go on\r\n250-evil\r\n250 AUTH PLAIN\r\n"
    outcome = refused(await sent(smtp(tmp_path, side.port, tls="starttls")))
    assert (outcome.failure, outcome.code) == (Failure.TRANSIENT, "injected")


async def test_connections_are_kept_and_used_again(tmp_path: Path, side: ScriptedSmtp) -> None:
    provider = smtp(tmp_path, side.port)
    for _ in range(5):
        assert isinstance(await provider.send(OUTGOING), Accepted)
    assert side.connections == 1
    side.hang_up()
    assert isinstance(await sent(provider), Accepted)
    assert side.connections == 2
    assert len(side.mails) == 6


@pytest.mark.parametrize(
    "way", [CLOSE, b"421 4.4.2 idle too long\r\n", b"421 4.7.0 too many messages\r\n"]
)
async def test_a_kept_connection_that_is_dead_is_tried_once_more(
    tmp_path: Path, side: ScriptedSmtp, way: bytes
) -> None:
    provider = smtp(tmp_path, side.port)
    await provider.send(OUTGOING)
    side.once["mail"] = way
    assert isinstance(await sent(provider), Accepted)
    assert (side.connections, len(side.mails)) == (2, 2)


async def test_an_idle_connection_is_ended(tmp_path: Path, side: ScriptedSmtp) -> None:
    provider = smtp(tmp_path, side.port, idle_s=0.05)
    await provider.send(OUTGOING)
    async with asyncio.timeout(10):
        while "QUIT" not in side.commands:
            await asyncio.sleep(0.02)
    await provider.close()


BEFORE = ["banner", "ehlo", "mail", "rcpt", "data"]


@pytest.mark.parametrize("stage", BEFORE)
@pytest.mark.parametrize("way", [CLOSE, HANG])
async def test_what_ends_before_the_last_dot_is_transient(
    tmp_path: Path, side: ScriptedSmtp, stage: str, way: bytes
) -> None:
    side.answers[stage] = way
    chosen: dict[str, Any] = {"total_s": 0.2} if way == HANG else {}
    assert refused(await sent(smtp(tmp_path, side.port, **chosen))).failure is Failure.TRANSIENT


@pytest.mark.parametrize("pipelining", [b"", b"250-PIPELINING\r\n"])
async def test_what_ends_after_the_last_dot_is_in_doubt(
    tmp_path: Path, side: ScriptedSmtp, pipelining: bytes
) -> None:
    side.answers |= {"ehlo": b"250-x\r\n" + pipelining + b"250 HELP\r\n", "end": CLOSE}
    assert isinstance(await sent(smtp(tmp_path, side.port)), Unknown)


async def test_a_kept_connection_in_doubt_is_not_tried_again(
    tmp_path: Path, side: ScriptedSmtp
) -> None:
    provider = smtp(tmp_path, side.port)
    await provider.send(OUTGOING)
    side.once["end"] = CLOSE
    assert isinstance(await sent(provider), Unknown)
    assert (side.connections, len(side.mails)) == (1, 2)


class Deaf(ScriptedSmtp):
    """Says that it waits for the message, and reads no byte of it."""

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for stage in ("banner", "ehlo", "mail", "rcpt", "data"):
            if stage != "banner":
                await reader.readline()
            writer.write(self.answers.get(stage, OK[stage]))
        await asyncio.sleep(60)


async def test_a_large_message_that_is_not_read_is_not_in_doubt(tmp_path: Path) -> None:
    files = (Attachment("a.bin", "application/octet-stream", b"x" * 20_000_000),)
    side = Deaf({"ehlo": b"250 x\r\n"})
    async with serving(side):
        provider = smtp(tmp_path, side.port, total_s=1.0)
        outcome = refused(await sent(provider, replace(OUTGOING, attachments=files)))
    assert (outcome.failure, outcome.code) == (Failure.TRANSIENT, "timeout")


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
async def test_after_a_refusal_the_connection_is_used_on(
    tmp_path: Path, side: ScriptedSmtp, stage: str
) -> None:
    """A server that says 354 though nobody is there to get it is given an end."""
    provider = smtp(tmp_path, side.port)
    side.once[stage] = b"550 5.7.1 no\r\n"
    assert refused(await provider.send(OUTGOING)).code == "550 5.7.1"
    assert side.mails == []
    assert isinstance(await sent(provider), Accepted)
    assert side.connections == 1
    assert side.commands.count("RSET") == 1


async def test_a_refusal_at_the_end_is_read(tmp_path: Path, side: ScriptedSmtp) -> None:
    side.answers["end"] = b"554-5.6.0 two\r\n554 5.6.0 lines\r\n"
    outcome = refused(await sent(smtp(tmp_path, side.port)))
    assert (outcome.code, outcome.detail) == ("554 5.6.0", "5.6.0 two 5.6.0 lines")


async def test_what_the_server_says_is_kept_without_the_address(
    tmp_path: Path, side: ScriptedSmtp
) -> None:
    side.answers["rcpt"] = b"550 5.1.1 <ann@example.com>: no such user\r\n"
    outcome = refused(await sent(smtp(tmp_path, side.port)))
    assert outcome.detail == "5.1.1 <…>: no such user"


async def test_a_message_larger_than_the_server_takes_is_refused(
    tmp_path: Path, side: ScriptedSmtp
) -> None:
    side.answers["ehlo"] = b"250-x\r\n250 SIZE 300\r\n"
    outcome = refused(await sent(smtp(tmp_path, side.port)))
    assert (outcome.failure, outcome.code) == (Failure.PERMANENT, "too-large")
    assert not any(line.startswith("MAIL") for line in side.commands)


async def test_an_address_in_unicode_needs_smtputf8(tmp_path: Path, side: ScriptedSmtp) -> None:
    wide = replace(OUTGOING, address="jörg@bücher.example")
    outcome = refused(await sent(smtp(tmp_path, side.port), wide))
    assert (outcome.failure, outcome.code) == (Failure.PERMANENT, "smtputf8-unsupported")
    inbox = Inbox()
    async with aiosmtpd(inbox) as port:
        assert isinstance(await sent(smtp(tmp_path, port), wide), Accepted)
    assert inbox.envelopes[0].rcpt_tos == ["jörg@xn--bcher-kva.example"]
    assert inbox.envelopes[0].smtp_utf8


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"])
async def test_a_private_address_is_not_connected_to(
    tmp_path: Path, side: ScriptedSmtp, address: str
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", address]

    provider = smtp(tmp_path, side.port, hosts=Hosts(resolve=resolve), host="mail.example")
    outcome = refused(await sent(provider))
    assert (outcome.failure, outcome.code) == (Failure.CONFIG, "private-address")
    assert side.connections == 0


async def test_a_name_without_address_is_transient(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError

    provider = smtp(tmp_path, 25, hosts=Hosts(resolve=resolve))
    assert refused(await sent(provider)).code == "connect-failed"


async def test_closing_ends_what_is_under_way(tmp_path: Path, side: ScriptedSmtp) -> None:
    side.answers["end"] = HANG
    provider = smtp(tmp_path, side.port)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        sending = group.create_task(provider.send(OUTGOING))
        while not side.mails:
            await asyncio.sleep(0.01)
        await provider.close()
    assert isinstance(sending.result(), Unknown)


async def test_a_cancelled_message_leaves_no_connection(tmp_path: Path, side: ScriptedSmtp) -> None:
    side.answers["mail"] = HANG
    provider = smtp(tmp_path, side.port)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await provider.send(OUTGOING)
    side.answers.clear()
    assert isinstance(await sent(provider), Accepted)
    assert side.connections == 2


@pytest.mark.parametrize("flood", [b"250-more\r\n" * 5000, b"2" * 200_000])
async def test_a_flood_of_answers_is_cut(tmp_path: Path, side: ScriptedSmtp, flood: bytes) -> None:
    side.answers["mail"] = flood
    assert refused(await sent(smtp(tmp_path, side.port))).code == "garbage"
