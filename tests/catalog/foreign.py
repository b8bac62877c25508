"""What the tests of the house need to try the routes of the catalog."""

from typing import Any

from tests.make import Maker

BODIES: dict[str, Any] = {
    "PATCH /products/{product_id}": {"name": "x"},
    "PUT /products/{product_id}/image": {"file": "fil_01jd0000000000000000000000"},
    "POST /products/{product_id}/waits": {"email": "ann@example.com"},
}


async def foreign(make: Maker) -> dict[str, str]:
    """A product of a workspace that the caller has nothing to do with."""
    return {"product_id": str((await make.product()).id)}
