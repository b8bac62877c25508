"""Prices: which texts and JSON numbers are one, and which currencies there are."""

import re
from decimal import Decimal

HIGHEST = 1_000_000
PATTERN = r"^\d{1,7}(\.\d{1,2})?$"
_PRICE = re.compile(PATTERN, re.ASCII)

# Source: ISO 4217:2015, the list of active codes; funds, metals and test codes are left out.
_CODES = """
IES AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD
NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())


def is_currency(code: str) -> bool:
    """Whether a code is an active currency of ISO 4217."""
    return code in CURRENCIES


def read_amount(value: object) -> Decimal | None:
    """Read an amount of up to 1,000,000 with two decimals; None if it is not one.

    A JSON number arrives as a float. Its shortest spelling is what was sent for all that has two
    decimals, so nothing is lost on the way.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # `100.0` and `29.9` are amounts; `1e-320` and `29.999` are not.
        value = str(value).removesuffix(".0")
    if not isinstance(value, str) or not _PRICE.fullmatch(value):
        return None
    amount = Decimal(value).quantize(Decimal("0.01"))
    return amount if amount <= HIGHEST else None
