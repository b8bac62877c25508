"""Where providers tell us what became of messages: anybody may call, only they are believed."""

from typing import Annotated

from fastapi import Depends, Path, Request

from posthouse.kernel.routing import Routes, service
from posthouse.notifications.channels.protocol import Call
from posthouse.notifications.errors import BadSignatureError, ReceiptInvalidError
from posthouse.notifications.providing import CALLBACKS
from posthouse.notifications.receiving import Receiving

RATE = "callbacks"

routes = Routes.of("callbacks")

the_receiving = service(Receiving)


@routes.post(CALLBACKS + "/{provider_id}", needs=None, rate=RATE, reads_json=False,
             is_idempotent=False, takes_any_query=True, status=204,
             raises=(BadSignatureError, ReceiptInvalidError),
             summary="Take in what a provider tells")  # fmt: skip
async def receive(
    provider_id: Annotated[str, Path(description="The id of a provider.")],
    request: Request,
    receiving: Annotated[Receiving, Depends(the_receiving)],
) -> None:
    """Take in what a provider tells of its messages; a call that is repeated changes nothing."""
    base = receiving.providers.public_url.rstrip("/")
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"{base}{CALLBACKS}/{provider_id}{query}"
    headers = {name.lower(): value for name, value in request.headers.items()}
    await receiving.receive(provider_id, Call(url, headers, await request.body()))
