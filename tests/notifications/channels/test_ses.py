"""Email by SES, against moto's SES and against every error that Amazon names."""

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from posthouse.notifications.channels.protocol import Provider
from posthouse.notifications.model import Accepted, Attachment, EmailContent, Failure, Refused
from tests.notifications.channels.rigs import SENDER, around, opened, rig_of
from tests.notifications.channels.servers import Said, StubHttp
from tests.notifications.channels.test_smtp import OUTGOING

SECRETS = {"secret_access_key": "secret"}


@pytest.fixture(scope="module")
async def moto() -> AsyncGenerator[str]:
    """The address of a server of moto's, which takes a moment to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("moto_server", path=str(Path(sys.executable).parent))
    assert program
    process = await asyncio.create_subprocess_exec(
        *(program, "-H", "127.0.0.1", "-p", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(60):
            while True:
                try:
                    await client.get(f"{url}/moto-api/data.json")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
            headers = {
                "Authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/ses/aws4_request"
            }
            identity = {"EmailIdentity": "shop.example"}
            await client.post(f"{url}/v2/email/identities", json=identity, headers=headers)
        yield url
    finally:
        process.kill()
        await process.wait()


def ses(folder: Path, url: str, **chosen: Any) -> Provider:
    options = {**SENDER, "region": "eu-west-1", "access_key_id": "AKIA1234", "endpoint": url}
    return opened("ses", {**options, **chosen}, SECRETS, around(folder))


def mails(data: dict[str, Any]) -> list[Any]:
    return json.loads(json.dumps(data["ses"]["Message"]))


async def test_moto_takes_it_whole(moto: str, tmp_path: Path) -> None:
    provider = ses(tmp_path, moto)
    files = (Attachment("bill.pdf", "application/pdf", bytes(range(256))),)
    content = EmailContent("Grüße", "Hallo Jörg", "<p>Hallo Jörg</p>")
    outcome = await provider.send(replace(OUTGOING, content=content, attachments=files))
    await provider.close()
    assert isinstance(outcome, Accepted)
    assert outcome.reference
    async with httpx.AsyncClient() as client:
        data = (await client.get(f"{moto}/moto-api/data.json")).text
    shown = json.loads(data)
    raw = json.dumps(shown["ses"])
    assert "Message-ID: <dlv_1@shop.example>" in raw
    assert "filename=" in raw
    assert "ann@example.com" in raw
    assert outcome.reference in raw


async def test_moto_refuses_a_sender_that_is_not_verified(moto: str, tmp_path: Path) -> None:
    provider = ses(tmp_path, moto, from_address="eve@evil.example")
    outcome = await provider.send(OUTGOING)
    await provider.close()
    assert isinstance(outcome, Refused), outcome
    assert (outcome.failure, outcome.code) == (Failure.CONFIG, "MessageRejected")


P, T, H, C = Failure.PERMANENT, Failure.TRANSIENT, Failure.THROTTLED, Failure.CONFIG
ROWS = [
    (400, "BadRequestException", "", P),
    (400, "MessageRejected", "Email content is not allowed", P),
    (400, "MessageRejected", "Email address is not verified.", C),
    (400, "AccountSuspendedException", "", C),
    (400, "SendingPausedException", "", C),
    (400, "MailFromDomainNotVerifiedException", "", C),
    (404, "NotFoundException", "Configuration set <x> does not exist.", C),
    (403, "AccessDeniedException", "", C),
    (403, "InvalidSignatureException", "", C),
    (403, "ExpiredTokenException", "", C),
    (429, "TooManyRequestsException", "", H),
    (400, "ThrottlingException", "", H),
    (400, "LimitExceededException", "Maximum sending rate exceeded.", H),
    (454, "Throttling", "Daily message quota exceeded.", H),
    (500, "InternalServiceErrorException", "", T),
    (503, "", "", T),
    (413, "", "", P),
]


@pytest.mark.parametrize(("status", "name", "message", "failure"), ROWS)
async def test_an_error_has_its_class(
    tmp_path: Path, status: int, name: str, message: str, failure: Failure
) -> None:
    body = json.dumps({"message": message}).encode()
    async with rig_of("ses", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        said = Said(status, body, (("x-amzn-ErrorType", f"{name}:http://x/"),))
        rig.side.answering = lambda _: said
        outcome = await rig.provider.send(rig.outgoing)
    assert isinstance(outcome, Refused)
    assert outcome.failure is failure
    assert outcome.retry_after_s == (3600 if "quota" in message else None)


async def test_what_is_sent_is_signed_and_names_the_configuration_set(tmp_path: Path) -> None:
    async with rig_of("ses", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        provider = ses(tmp_path, rig.side.url, configuration_set="all")
        assert isinstance(await provider.send(OUTGOING), Accepted)
        await provider.close()
        (asked,) = rig.side.asked
    assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1234/")
    sent = json.loads(asked.body)
    assert sent["ConfigurationSetName"] == "all"
    assert sent["EmailTags"] == [{"Name": "key", "Value": "dlv_1"}]
    assert sent["Destination"] == {"ToAddresses": ["ann@example.com"]}
