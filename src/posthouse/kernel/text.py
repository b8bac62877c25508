"""The string types of the API: what may be in a text that we store and show.

NUL breaks Postgres and lone surrogates break UTF-8, so both are refused everywhere; other
control and format characters are taken out of one-line names (Trojan-Source style tricks).
"""

import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError, to_json

# A joiner and a non-joiner are needed to write Persian and emoji; they stay.
_KEPT_FORMAT = {"\u200c", "\u200d"}
INT8_MAX = 2**63 - 1


def refuse_unstorable(text: str) -> str:
    """Give the text back if a UTF-8 database can hold it.

    Raises:
        PydanticCustomError: `invalid-character`, for NUL or a lone surrogate.
    """
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError(
            "invalid-character", "The text holds a NUL or a lone surrogate; remove it"
        )
    return text


def tidy_name(text: str) -> str:
    """Normalise a one-line text: NFC, no control or format characters, no blanks around it."""
    kept = (
        character
        for character in unicodedata.normalize("NFC", refuse_unstorable(text))
        if character in _KEPT_FORMAT or unicodedata.category(character) not in {"Cc", "Cf"}
    )
    return "".join(kept).strip()


def refuse_empty(text: str) -> str:
    """Give the text back unless nothing of it is left after tidying.

    Raises:
        PydanticCustomError: `empty-text`.
    """
    if not text:
        raise PydanticCustomError("empty-text", "The text is empty")
    return text


# A text of any shape (notes, passwords): kept as it was sent.
_STORABLE = Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})
Str = Annotated[str, AfterValidator(refuse_unstorable), _STORABLE]
# A one-line text that may be empty (a title).
Line = Annotated[str, AfterValidator(tidy_name), _STORABLE]
# A one-line text that says something (a name).
Name = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]

# Tags are few and short, and a set: sorted, each once.
# Its length is that of what is sent, as the schema says; a limit behind `Name` would come too late.
Tag = Annotated[
    str, StringConstraints(max_length=50), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(lambda tags: sorted(set(tags)))]

# JSON's own types: "5", 1.0 or true is no count, and "yes" is no flag.
Count = Annotated[int, Field(strict=True, ge=0, le=INT8_MAX)]
Flag = Annotated[bool, Field(strict=True)]


def storable_object(max_bytes: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator of JSON objects of any shape: all texts can be stored, all of it is so large.

    Raises:
        PydanticCustomError: `invalid-character`, or `too-long` as JSON in UTF-8.
    """

    def check(value: dict[str, Any]) -> dict[str, Any]:
        _refuse_within(value)
        if len(to_json(value)) > max_bytes:
            raise PydanticCustomError(
                "too-long", "It has more than {max} bytes", {"max": max_bytes}
            )
        return value

    return check


def _refuse_within(value: Any) -> None:
    if isinstance(value, str):
        refuse_unstorable(value)
    elif isinstance(value, dict):
        for name, one in cast("dict[str, Any]", value).items():
            refuse_unstorable(name)
            _refuse_within(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            _refuse_within(one)
