"""Changes by PATCH: what is absent stays, so a body that names nothing is a mistake."""

from typing import TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

M = TypeVar("M", bound=BaseModel)


def require_some(patch: M) -> M:
    """Give changes back if they name a field; for `model_validator(mode="after")`.

    Raises:
        PydanticCustomError: `empty-patch`.
    """
    if not patch.model_fields_set:
        raise PydanticCustomError("empty-patch", "Name at least one field to change")
    return patch
