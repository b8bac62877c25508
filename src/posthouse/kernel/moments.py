"""The time type of the API: aware, in UTC, and within what a database and a person can hold."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError


def in_range(moment: datetime) -> datetime:
    """Give the moment in UTC.

    Raises:
        PydanticCustomError: `out-of-range`, before 1970 or from 3000 on.
    """
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(3000, 1, 1, tzinfo=UTC):
        raise PydanticCustomError("out-of-range", "The time must be between 1970 and 3000")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(in_range)]
