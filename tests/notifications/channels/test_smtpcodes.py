"""Each answer of an SMTP server that means something else is one row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.notifications.channels.smtpcodes import Stage, refusal
from posthouse.notifications.model import Failure

P, T, H, C = Failure.PERMANENT, Failure.TRANSIENT, Failure.THROTTLED, Failure.CONFIG
ROWS = [
    # The address is bad.
    (550, "5.1.1 no such user", Stage.RCPT, P, True),
    (551, "5.1.6 moved", Stage.RCPT, P, True),
    (553, "5.1.3 bad syntax", Stage.RCPT, P, True),
    (550, "5.1.1 no such user", Stage.END, P, True),
    (550, "5.1.10 null MX", Stage.RCPT, P, True),
    (521, "does not accept mail", Stage.RCPT, P, True),
    (556, "5.1.10 no mail here", Stage.RCPT, P, True),
    (550, "User unknown", Stage.RCPT, P, True),
    (550, "Recipient not found", Stage.RCPT, P, True),
    # The message or the moment is.
    (550, "Mailbox unavailable", Stage.RCPT, P, False),
    (552, "5.2.2 over quota", Stage.RCPT, P, False),
    (550, "5.2.1 disabled", Stage.RCPT, P, False),
    (552, "5.3.4 too big", Stage.MAIL, P, False),
    (554, "5.6.0 content", Stage.END, P, False),
    (554, "5.7.1 spam", Stage.END, P, False),
    (550, "5.7.1 blocked by policy", Stage.RCPT, P, False),
    *((code, "what?", Stage.RCPT, P, False) for code in (500, 501, 502, 503, 504)),
    # It may go later.
    (450, "4.2.0 busy", Stage.RCPT, T, False),
    (451, "4.3.0 local error", Stage.END, T, False),
    (451, "4.7.1 try again", Stage.RCPT, T, False),
    (450, "greylisted, come back", Stage.RCPT, T, False),
    (452, "4.2.2 over quota", Stage.RCPT, T, False),
    (452, "4.3.1 no disk", Stage.MAIL, T, False),
    (421, "4.3.2 shutting down", Stage.MAIL, T, False),
    (454, "4.7.0 TLS not available now", Stage.TLS, H, False),
    (354, "", Stage.MAIL, T, False),
    (299, "?", Stage.BANNER, T, False),
    # We are too fast.
    (421, "4.7.0 slow down", Stage.MAIL, H, False),
    (450, "4.7.0 x", Stage.RCPT, H, False),
    (451, "4.4.5 system congested", Stage.RCPT, H, False),
    (452, "4.5.3 too many recipients", Stage.RCPT, H, False),
    (421, "Too many connections", Stage.BANNER, H, False),
    (450, "rate limit exceeded", Stage.MAIL, H, False),
    (454, "4.7.0 Throttling failure", Stage.AUTH, H, False),
    # We are not set up right.
    *((code, "5.7.0 x", Stage.MAIL, C, False) for code in (530, 534, 535, 538)),
    (535, "5.7.8 bad credentials", Stage.AUTH, C, False),
    (432, "4.7.12 change your password", Stage.AUTH, C, False),
    (550, "5.7.26 DMARC", Stage.END, C, False),
    (550, "5.7.23 SPF", Stage.MAIL, C, False),
    (550, "5.1.8 bad sender", Stage.RCPT, C, False),
    (550, "sender rejected", Stage.MAIL, C, False),
    (553, "5.7.1 not your address", Stage.MAIL, C, False),
    (554, "no service", Stage.BANNER, C, False),
    (550, "go away", Stage.EHLO, C, False),
]


@pytest.mark.parametrize(("code", "text", "stage", "failure", "is_bad"), ROWS)
def test_a_row_of_the_table(
    code: int, text: str, stage: Stage, failure: Failure, is_bad: bool
) -> None:
    found = refusal(code, text, stage)
    assert (found.failure, found.is_address_bad) == (failure, is_bad)


def test_a_grey_list_is_waited_out() -> None:
    assert refusal(450, "4.7.1 greylisted", Stage.RCPT).retry_after_s == 300


@given(code=st.integers(200, 599), text=st.text(), stage=st.sampled_from(Stage))
def test_any_answer_has_a_class(code: int, text: str, stage: Stage) -> None:
    found = refusal(code, text, stage)
    assert found.code
    assert not found.is_address_bad or found.failure is P
