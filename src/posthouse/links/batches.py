"""Clicks on their way: packed batches with a version byte and an id of their own.

One stream entry holds a batch, because an entry per click costs ten times as much to write.
The id lets the reader drop a batch that was sent twice (a time-out that had worked).
"""

import secrets
from collections.abc import Sequence

import msgspec

VERSION = 1
_ID_BYTES = 16


class UnknownBatchError(ValueError):
    """The batch has another version or is damaged."""


class ClickEvent(msgspec.Struct, array_like=True, gc=False):
    """One follow. `at_ms` is since 1970; `visitor` is a salted hash; there is no address in it."""

    link_id: bytes
    workspace_id: bytes
    at_ms: int
    is_head: bool
    is_prefetch: bool
    visitor: int
    country: str
    agent: str
    referrer: str
    campaign: str


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[ClickEvent])


def pack(events: Sequence[ClickEvent]) -> bytes:
    """Write a batch: version byte, 16 random bytes of id, MessagePack."""
    return bytes((VERSION,)) + secrets.token_bytes(_ID_BYTES) + _ENCODER.encode(events)


def unpack(data: bytes) -> tuple[bytes, list[ClickEvent]]:
    """Read a batch: its id and its events.

    Raises:
        UnknownBatchError: it is not one that this version can read.
    """
    if len(data) < 1 + _ID_BYTES or data[0] != VERSION:
        raise UnknownBatchError("another version")
    try:
        return data[1 : 1 + _ID_BYTES], _DECODER.decode(data[1 + _ID_BYTES :])
    except msgspec.MsgspecError as error:
        raise UnknownBatchError("damaged") from error
