"""Nobody adds a header to a mail of ours: line breaks in subjects, names and addresses."""

from typing import Any

import httpx
import pytest

from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import MailServer

BREAKS = (
    "\r\nBcc: thief@example.com", "\nBcc: thief@example.com", "\rBcc: thief@example.com",
    "\r\n\r\n<script>", "\x00Bcc: thief@example.com", "\r\n Bcc: thief@example.com",
    "\u2028Bcc: thief@example.com", "\u0085Bcc: thief@example.com", "\x0bBcc: thief@example.com",
    "=?utf-8?q?=0D=0ABcc:_thief=40example.com?=", "%0d%0aBcc: thief@example.com",
    '" <thief@example.com>, "', ">, <thief@example.com",
)  # fmt: skip
EXPECTED = {
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type",
    "content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post", "auto-submitted",
}  # fmt: skip


def _check(mail: MailServer, email: str) -> None:
    for one in mail.to(email):
        headers = [name.lower() for name in one.message.keys()]  # noqa: SIM118  repeated ones too
        assert len(headers) == len(set(headers))
        assert set(headers) <= EXPECTED, headers
        assert [str(address.addr_spec) for address in one.message["To"].addresses] == [email]


async def _tried(sending: Sending, to: Any, **chosen: Any) -> None:
    """Send; if it was accepted, wait until it was sent or failed."""
    body = {"to": to, "content": {"subject": "Hello", "text": "Hello"}} | chosen
    answer = await sending.client.post("/api/v1/notifications/send", json=body)
    _check_refusal(answer)
    if answer.status_code == 202:
        await sending.until(answer.json()["job_id"])


def _check_refusal(answer: httpx.Response) -> None:
    assert answer.status_code in {200, 201, 202, 422}, answer.text
    assert "thief" not in answer.text or answer.status_code != 422


@pytest.mark.parametrize("line", BREAKS, ids=range(len(BREAKS)))
async def test_a_line_break_adds_no_header(sending: Sending, mail: MailServer, line: str) -> None:
    await sending.provider(mail)
    email = fresh_email()
    await _tried(sending, {"email": email}, content={"subject": f"Hello{line}", "text": "x"})
    await _tried(
        sending,
        {"email": email},
        content={"subject": "Hello {{ name }}", "text": "x"},
        data={"name": f"Ann{line}"},
    )
    named = await sending.client.put(
        "/api/v1/recipients/named", json={"email": email, "name": f"Ann{line}"}
    )
    _check_refusal(named)
    if named.is_success:
        await _tried(sending, {"recipient": "named"})
    refused = await sending.client.post(
        "/api/v1/notifications/send",
        json={"to": {"email": f"{email}{line}"}, "content": {"subject": "x", "text": "x"}},
    )
    assert refused.status_code == 422
    await _tried(sending, {"email": email})
    assert mail.to(email)
    assert {one.recipient for one in mail.mails} == {email}
    _check(mail, email)


@pytest.mark.parametrize("line", BREAKS[:6], ids=range(6))
@pytest.mark.parametrize("field", ["from_name", "from_address", "reply_to", "host"])
async def test_a_provider_with_a_line_break_is_refused_or_harmless(
    sending: Sending, mail: MailServer, field: str, line: str
) -> None:
    options = {
        "from_address": "shop@example.com", "host": "127.0.0.1", "port": mail.port, "tls": "none",
    }  # fmt: skip
    options[field] = f"{options.get(field, 'The Shop')}{line}"
    answer = await sending.client.post(
        "/api/v1/notifications/providers",
        json={"kind": "smtp", "name": "mail", "options": options},
    )
    assert answer.status_code == 422 or field == "from_name", answer.text
    if answer.status_code == 201:
        email = fresh_email()
        await _tried(sending, {"email": email})
        _check(mail, email)
