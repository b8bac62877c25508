"""What every provider promises, whatever the other side does."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from dataclasses import replace
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.model import (
    Accepted,
    EmailContent,
    Failure,
    PushContent,
    Refused,
    SmsContent,
    Unknown,
)
from tests.notifications.channels.rigs import (
    CONSOLE,
    HTTP,
    Rig,
    around,
    http_options,
    opened,
    rig_of,
)

SENDING = ("smtp", *HTTP)
ALL = (*SENDING, *CONSOLE)


@pytest.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Rig]:
    async with rig_of(request.param, tmp_path) as rig:
        yield rig


def on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rig", kinds, indirect=True)


def test_every_kind_is_under_contract() -> None:
    assert set(ALL) == set(KINDS)


@on(*ALL)
async def test_a_message_is_accepted(rig: Rig) -> None:
    assert isinstance(await rig.provider.send(rig.outgoing), Accepted)
    assert len(rig.received()) == 1


@on(*SENDING)
@pytest.mark.parametrize("failure", list(Failure))
async def test_a_refusal_has_its_class(rig: Rig, failure: Failure) -> None:
    rig.tell(failure.value)
    outcome = await rig.provider.send(rig.outgoing)
    assert isinstance(outcome, Refused), outcome
    assert outcome.failure is failure
    assert outcome.code
    assert outcome.is_address_bad is (failure is Failure.PERMANENT and rig_knows_address(rig))
    rig.tell("accepted")
    assert isinstance(await rig.provider.send(rig.outgoing), Accepted)


def rig_knows_address(rig: Rig) -> bool:
    """SES tells of bad addresses only later."""
    return type(rig.provider).__name__ != "Ses"


@pytest.mark.parametrize("kind", SENDING)
@pytest.mark.parametrize("case", ["hang", "close"])
async def test_a_message_without_an_answer_is_in_doubt(
    kind: str, case: str, tmp_path: Path
) -> None:
    async with rig_of(kind, tmp_path, total_s=0.3 if case == "hang" else 10.0) as rig:
        rig.tell(case)
        assert isinstance(await rig.provider.send(rig.outgoing), Unknown)


@on(*SENDING)
async def test_garbage_raises_nothing(rig: Rig) -> None:
    rig.tell("garbage")
    outcome = await rig.provider.send(rig.outgoing)
    assert isinstance(outcome, Unknown) or outcome == Refused(
        Failure.TRANSIENT, "garbage", outcome.detail
    )


@pytest.mark.parametrize("kind", SENDING)
async def test_a_refused_connection_is_transient(kind: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with rig_of(kind, tmp_path) as rig:
            if kind == "smtp":
                sender = {"from_address": "shop@shop.example"}
                options: dict[str, Any] = {**sender, "host": "127.0.0.1", "port": port}
                secrets, address = {}, "ann@example.com"
            else:
                options, secrets, address, _ = http_options(kind, url)
            provider = opened(kind, options, secrets, around(tmp_path))
            outcome = await provider.send(replace(rig.outgoing, address=address))
            await provider.close()
    assert isinstance(outcome, Refused)
    assert outcome.failure is Failure.TRANSIENT


@on(*ALL)
async def test_20_messages_at_once(rig: Rig) -> None:
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(rig.provider.send(rig.message(f"dlv_{n}"))) for n in range(20)]
    assert all(isinstance(task.result(), Accepted) for task in sent)
    assert len(rig.received()) == 20


@on("smtp", "ses", "fcm", "webpush", *CONSOLE)
async def test_a_retry_has_the_same_key(rig: Rig) -> None:
    for _ in range(2):
        await rig.provider.send(rig.outgoing)
    assert set(rig.keys()) in [{"dlv_1"}, {"order-1"}]


@on(*SENDING)
async def test_closing_ends_all_connections(rig: Rig) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(rig.provider.send(rig.message(f"dlv_{n}")))
    await rig.provider.close()
    await rig.provider.close()


BREAKS = ["a\r\nBcc: eve@example.com", "a\nX-A: b", "a\rb", "a\x00b"]


@on("smtp", "ses", "console-email")
@pytest.mark.parametrize("text", BREAKS)
@pytest.mark.parametrize("field", ["subject", "to_name", "address", "header", "key"])
async def test_a_line_break_changes_no_header(rig: Rig, field: str, text: str) -> None:
    changes: dict[str, Any] = {
        "subject": {"content": EmailContent(text, "text")},
        "to_name": {"to_name": text},
        "address": {"address": f"{text}@example.com"},
        "header": {"headers": (("X-Note", text),)},
        "key": {"key": text},
    }[field]
    outcome = await rig.provider.send(replace(rig.outgoing, **changes))
    assert isinstance(outcome, Refused)
    assert outcome.failure is Failure.PERMANENT
    if rig.side is not None:
        assert rig.received() == []


@on("twilio", "fcm", "webpush")
@pytest.mark.parametrize("text", BREAKS)
async def test_a_line_break_in_a_message_stays_in_its_body(rig: Rig, text: str) -> None:
    is_sms = isinstance(rig.outgoing.content, SmsContent)
    content = SmsContent(text) if is_sms else PushContent(text, text, data={"a": text})
    outcome = await rig.provider.send(replace(rig.outgoing, content=content, collapse=text))
    assert isinstance(outcome, Accepted)
    names = {"host", "authorization", "content-type", "content-length"}
    assert rig.side is not None
    assert not {"bcc", "x-a"} & set(rig.side.asked[-1].headers)  # type: ignore[union-attr]
    assert names <= set(rig.side.asked[-1].headers)  # type: ignore[union-attr]


@on(*ALL)
async def test_content_of_another_channel_is_refused(rig: Rig) -> None:
    is_email = isinstance(rig.outgoing.content, EmailContent)
    other = SmsContent("x") if is_email else EmailContent("x", "x")
    outcome = await rig.provider.send(replace(rig.outgoing, content=other))
    assert isinstance(outcome, Refused)
    assert outcome.failure is Failure.PERMANENT


@on(*CONSOLE)
async def test_a_folder_that_cannot_be_written_is_transient(rig: Rig) -> None:
    rig.tell("transient")
    outcome = await rig.provider.send(rig.outgoing)
    assert isinstance(outcome, Refused)
    assert outcome.failure is Failure.TRANSIENT


@on("smtp", "ses", "console-email")
async def test_an_email_arrives_as_it_is(rig: Rig) -> None:
    await rig.provider.send(rig.outgoing)
    found = BytesParser(policy=policy.default).parsebytes(rig.received()[0])
    assert found["to"] == "ann@example.com" or found["to"] == "Ann <ann@example.com>"
    assert found["from"] == "The Shop <shop@shop.example>"
    plain, html = found.iter_parts()
    assert plain.get_content().strip() == "Hello there"
    assert html.get_content().strip() == "<p>Hello there</p>"
