"""What the tests of the house need to try the routes of links."""

from typing import Any

from posthouse.links.model import LINK
from tests.make import Maker

BODIES: dict[str, Any] = {"PATCH /links/{link_id}": {"title": "x"}}


async def foreign(make: Maker) -> dict[str, str]:
    """A link of a workspace that the caller has nothing to do with."""
    return {"link_id": LINK.show((await make.link()).id)}
