"""What the tests of the house need to try the routes of accounts."""

from typing import Any

from posthouse.accounts.model import KEY, USER
from posthouse.kernel import ids
from tests.make import Maker

BODIES: dict[str, Any] = {"PATCH /members/{user_id}": {"role": "viewer"}}


async def foreign(make: Maker) -> dict[str, str]:
    """Ids that nobody has."""
    return {"user_id": USER.show(ids.fresh()), "key_id": KEY.show(ids.fresh())}
