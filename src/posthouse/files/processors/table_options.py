"""The options that all table steps have: what their sender knows about the file."""

from typing import Annotated

from pydantic import AfterValidator, Field

from posthouse.files.processors.protocol import StepOptions
from posthouse.files.processors.table_dialect import Wishes
from posthouse.files.processors.table_encoding import EncodingName

TAKES = frozenset(
    {
        "text/csv",
        "text/tab-separated-values",
        "text/plain",
        "application/x-ndjson",
        "application/json",
        "application/vnd.apache.parquet",
    }
)
_NEVER = frozenset("\r\n\0")


def _can_delimit(value: str | None) -> str | None:
    if value is not None and (value in _NEVER or value.isalnum() or not value.isascii()):
        raise ValueError("a delimiter or quote is an ASCII sign, not a letter, digit or line end")
    return value


Sign = Annotated[str | None, AfterValidator(_can_delimit)]


class ReadingOptions(StepOptions):
    """How to read the table; what is left out is found by looking at the file."""

    encoding: EncodingName | None = Field(None, description="The encoding of a text file.")
    delimiter: Sign = Field(
        None, min_length=1, max_length=1, description="The sign between two cells of a row."
    )
    quote: Sign = Field(
        None, max_length=1, description="The sign around a cell; empty if there is none."
    )
    header: bool | None = Field(None, description="Whether the first row names the columns.")
    preamble_lines: int | None = Field(
        None, ge=0, le=1000, description="How many lines before the table are left out."
    )

    def wishes(self) -> Wishes:
        """Give what the options say about the dialect."""
        return Wishes(self.delimiter, self.quote, self.header, self.preamble_lines)
