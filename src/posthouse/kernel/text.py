"""The string types of the API: what may be in a text that we store and show.

NUL breaks Postgres and lone surrogates break UTF-8, so both are refused everywhere; other
control and format characters are taken out of one-line names (Trojan-Source style tricks).
"""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

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

# JSON's own types: "5", 1.0 or true is no count, and "yes" is no flag.
Count = Annotated[int, Field(strict=True, ge=0, le=INT8_MAX)]
Flag = Annotated[bool, Field(strict=True)]
