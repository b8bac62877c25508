"""What an answer of an SMTP server means for us: one of the four classes of refusal.

Sources: RFC 5321 section 4.2 (codes), RFC 3463 (enhanced codes), RFC 7372 (5.7.20 to 5.7.26:
DKIM, SPF), RFC 7504 (521, 556), RFC 7505 (5.1.10), RFC 4954 section 6 (AUTH).
"""

import re
from enum import StrEnum

from posthouse.notifications.model import Failure, Refused

GREYLISTED_S = 300.0
_MAX_DETAIL = 500
_FIRST_PERMANENT = 500
_FIRST_TRANSIENT = 400
_NO_SUCH_CODE = 600
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\S)")
_RATE = re.compile(r"\b(?:rate|throttl\w*|too (?:many|much|fast)|quota|limit exceeded)\b", re.I)
_GREY = re.compile(r"gr[ae]y-?list", re.I)
_NOBODY = re.compile(
    r"user (?:is )?unknown|unknown (?:user|mailbox|recipient)|no such (?:user|mailbox|recipient)"
    r"|(?:user|mailbox|recipient|account|address) (?:was |is |does )?not (?:found|exist)"
    r"|invalid (?:mailbox|recipient)",
    re.I,
)
_AUTH_CODES = frozenset({530, 534, 535, 538})
_HOST_TAKES_NO_MAIL = frozenset({521, 556})
_ABOUT_THE_ADDRESS = frozenset({550, 551, 553})
# Credentials, or a sender that its own domain's records do not vouch for.
_AUTH_DETAILS = frozenset({8, 9, 11, 13, 20, 21, 22, 23, 24, 25, 26, 60})
_SENDER_DETAILS = frozenset({7, 8})
_RATE_ENHANCED = frozenset({"4.7.0", "4.4.5", "4.5.3"})


class Stage(StrEnum):
    """How far the conversation had come."""

    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"


_BEFORE_MAIL = frozenset({Stage.BANNER, Stage.EHLO, Stage.TLS, Stage.AUTH})


def refusal(code: int, text: str, stage: Stage) -> Refused:
    """Say what an answer means that is not the one that was hoped for."""
    found = _ENHANCED.match(text)
    enhanced = found[0] if found else ""
    shown = f"{code} {enhanced}".rstrip()
    detail = text[:_MAX_DETAIL]
    if _FIRST_TRANSIENT <= code < _FIRST_PERMANENT:
        return _transient(code, enhanced, shown, detail, stage)
    if not _FIRST_PERMANENT <= code < _NO_SUCH_CODE:
        return Refused(Failure.TRANSIENT, "unexpected-answer", f"{code} {detail}")
    if _is_config(code, enhanced, stage):
        return Refused(Failure.CONFIG, shown, detail)
    return Refused(
        Failure.PERMANENT,
        shown,
        detail,
        is_address_bad=stage in {Stage.RCPT, Stage.END, Stage.DATA}
        and _is_address_bad(code, enhanced, text),
    )


def _transient(code: int, enhanced: str, shown: str, detail: str, stage: Stage) -> Refused:
    if _GREY.search(detail) or (enhanced == "4.7.1" and not _RATE.search(detail)):
        return Refused(Failure.TRANSIENT, shown, detail, retry_after_s=GREYLISTED_S)
    # 452 4.2.2 is a full mailbox, whatever the text says of its quota.
    is_full = enhanced.startswith("4.2.")
    if enhanced in _RATE_ENHANCED or (_RATE.search(detail) and not is_full):
        return Refused(Failure.THROTTLED, shown, detail)
    if code == 432 and stage is Stage.AUTH:  # noqa: PLR2004  RFC 4954: the password must be changed
        return Refused(Failure.CONFIG, shown, detail)
    return Refused(Failure.TRANSIENT, shown, detail)


def _is_config(code: int, enhanced: str, stage: Stage) -> bool:
    if stage in _BEFORE_MAIL or code in _AUTH_CODES:
        return True
    _, subject, detail = (enhanced or "5.0.0").split(".")
    if subject == "7" and int(detail) in _AUTH_DETAILS:
        return True
    if subject == "1" and int(detail) in _SENDER_DETAILS:
        return True
    # At MAIL only the sender is known, and it is the provider's own.
    return stage is Stage.MAIL and code in {550, 551, 553, 554}


def _is_address_bad(code: int, enhanced: str, text: str) -> bool:
    if code in _HOST_TAKES_NO_MAIL or enhanced == "5.1.10":
        return True
    if code not in _ABOUT_THE_ADDRESS:
        return False
    if enhanced:
        return enhanced.startswith("5.1.")
    return _NOBODY.search(text) is not None
