"""Text messages: numbers, countries, segments, and Twilio with a server that plays it."""

import base64
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from posthouse.notifications.channels.sms import (
    PhoneInvalidError,
    country_of,
    parse_number,
    segments,
)
from posthouse.notifications.channels.twilio import TwilioOptions
from posthouse.notifications.model import Accepted, Failure, Refused, Unknown
from tests.fakes import FrozenClock
from tests.notifications.channels.rigs import ACCOUNT, around, opened, rig_of
from tests.notifications.channels.servers import Said, StubHttp


@pytest.mark.parametrize(
    ("text", "number", "country"),
    [
        ("+4915112345678", "+4915112345678", "DE"),
        ("+49 (151) 1234-5678", "+4915112345678", "DE"),
        ("+1 202-456-1414", "+12024561414", "US"),
        ("+1 416-555-0123", "+14165550123", "CA"),
        ("+44 20 7946 0018", "+442079460018", "GB"),
    ],
)
def test_a_number_is_read(text: str, number: str, country: str) -> None:
    assert parse_number(text) == number
    assert country_of(number) == country


@pytest.mark.parametrize(
    "text",
    [
        "",
        "110",
        "0151 1234567",
        "+",
        "+49",
        "abc",
        "+1" * 40,
        "+4915112345678 ext. 5",
        "+999123456",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(PhoneInvalidError):
        parse_number(text)


@given(st.text())
def test_any_text_is_a_number_or_is_refused(text: str) -> None:
    with contextlib.suppress(PhoneInvalidError):
        assert parse_number(text).startswith("+")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        # A character of two is not split: 152 and one of two make a second message.
        ("a" * 152 + "€" + "a" * 150, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("é" * 160, 1),
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        ("漢" * 134, 2),
        ("漢" * 135, 3),
        ("🎉" * 35, 1),
        ("🎉" * 36, 2),
        ("🎉" * 66, 2),
        ("🎉" * 67, 3),
    ],
)
def test_segments_are_counted(text: str, count: int) -> None:
    assert segments(text) == count


async def send(tmp_path: Path, said: Said, **chosen: Any) -> tuple[Any, StubHttp]:
    async with rig_of("twilio", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        rig.side.answering = lambda _: said
        outcome = await rig.provider.send(replace(rig.outgoing, **chosen))
    return outcome, rig.side


async def test_the_form_is_twilios(tmp_path: Path) -> None:
    outcome, side = await send(tmp_path, Said(201, b'{"sid": "SM1"}'))
    assert outcome == Accepted("SM1")
    (asked,) = side.asked
    assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == f"{ACCOUNT}:secret"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body == (
        b"To=%2B4915187654321&Body=Hello+there&From=%2B4915112345678"
        b"&StatusCallback=https%3A%2F%2Fshop.example%2F-%2Fcallbacks%2Fprv_1%3Fkey%3Ddlv_1"
    )


@pytest.mark.parametrize(("left_s", "validity"), [(60, "60"), (-5, "1"), (10**6, "36000")])
async def test_an_end_becomes_a_validity(tmp_path: Path, left_s: int, validity: str) -> None:
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with rig_of("twilio", tmp_path, clock=clock) as rig:
        assert isinstance(rig.side, StubHttp)
        expires_at = clock.now() + timedelta(seconds=left_s)
        await rig.provider.send(replace(rig.outgoing, expires_at=expires_at))
        assert rig.side.asked[0].body.decode().endswith(f"ValidityPeriod={validity}")


async def test_an_api_key_is_used_instead_of_the_token(tmp_path: Path) -> None:
    async with rig_of("twilio", tmp_path) as rig:
        assert isinstance(rig.side, StubHttp)
        options = {
            "account_sid": ACCOUNT,
            "api_key_sid": "SK" + "1" * 32,
            "messaging_service_sid": "MG" + "2" * 32,
            "countries": ["DE"],
            "endpoint": rig.side.url,
        }
        secrets = {"auth_token": "token", "api_key_secret": "key"}
        provider = opened("twilio", options, secrets, around(tmp_path, callback_url=""))
        assert isinstance(await provider.send(rig.outgoing), Accepted)
        await provider.close()
        asked = rig.side.asked[0]
    assert base64.b64decode(asked.headers["authorization"][6:]).decode() == f"SK{'1' * 32}:key"
    assert b"MessagingServiceSid=MG222" in asked.body
    assert b"StatusCallback" not in asked.body


async def test_other_countries_are_refused_without_a_request(tmp_path: Path) -> None:
    outcome, side = await send(tmp_path, Said(), address="+12024561414")
    assert (outcome.failure, outcome.code) == (Failure.PERMANENT, "country-refused")
    outcome, side = await send(tmp_path, Said(), address="0151 1234567")
    assert (outcome.failure, outcome.code) == (Failure.PERMANENT, "phone-invalid")
    assert side.asked == []


P, T, H, C = Failure.PERMANENT, Failure.TRANSIENT, Failure.THROTTLED, Failure.CONFIG
ROWS = [
    *((400, code, P, True) for code in (21211, 21610, 21614)),
    *((400, code, P, False) for code in (21612, 21617, 99999)),
    *((400, code, C, False) for code in (21408, 21606, 21608)),
    (401, 20003, C, False),
    (404, 20404, C, False),
    (403, None, C, False),
    (429, 20429, H, False),
    (429, None, H, False),
    (503, 21730, T, False),
    (503, None, T, False),
    (500, 21730, T, False),
]


@pytest.mark.parametrize(("status", "code", "failure", "is_bad"), ROWS)
async def test_an_error_has_its_class(
    tmp_path: Path, status: int, code: int | None, failure: Failure, is_bad: bool
) -> None:
    body = b'{"message": "no"}' if code is None else f'{{"code": {code}}}'.encode()
    outcome, _ = await send(tmp_path, Said(status, body, (("Retry-After", "9"),)))
    assert isinstance(outcome, Refused)
    assert (outcome.failure, outcome.is_address_bad) == (failure, is_bad)
    assert outcome.retry_after_s == 9


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_error_behind_which_it_may_have_acted_is_in_doubt(
    tmp_path: Path, status: int
) -> None:
    outcome, _ = await send(tmp_path, Said(status, b"<html>"))
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"from_number": "+4915112345678", "messaging_service_sid": "MG" + "0" * 32},
        {"from_number": "0151"},
        {"from_number": "+4915112345678", "countries": ["de"]},
        {"from_number": "+4915112345678", "more": 1},
        {"from_number": "+4915112345678", "endpoint": "ftp://x"},
        {"from_number": "+4915112345678", "account_sid": "AC1"},
    ],
)
def test_options_that_do_not_fit_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TwilioOptions.model_validate({"account_sid": ACCOUNT, **chosen})


@pytest.mark.parametrize(
    ("chosen", "countries"),
    [
        ({"from_number": "+4915112345678"}, {"DE"}),
        ({"from_number": "+4915112345678", "countries": ["AT", "CH"]}, {"AT", "CH"}),
        ({"messaging_service_sid": "MG" + "0" * 32}, set[str]()),
    ],
)
def test_the_own_country_is_allowed_if_none_is_named(
    chosen: dict[str, Any], countries: set[str]
) -> None:
    options = TwilioOptions.model_validate({"account_sid": ACCOUNT, **chosen})
    assert options.allowed_countries == countries
