"""What is remembered of a link to follow it, and what following it means at a moment.

A `Route` travels between processes (MessagePack, in Valkey); it holds no password and no notes.
"""

from enum import StrEnum

import msgspec


class Route(msgspec.Struct, frozen=True, array_like=True):
    """One code as followers see it. Times are seconds since 1970.

    `is_counted` links have a click limit: they are never cached and ask Postgres each time.
    """

    link_id: bytes
    workspace_id: bytes
    version: int
    state: str
    location: str
    status: int
    forwards_query: bool
    forwards_path: bool
    valid_from: float | None
    valid_until: float | None
    is_counted: bool
    has_password: bool
    campaign: str

    @property
    def is_plain(self) -> bool:
        """Whether each GET has the same answer, so that it can be built beforehand."""
        return (
            self.state == "active"
            and not self.has_password
            and not self.is_counted
            and not self.forwards_query
            and self.valid_from is None
            and self.valid_until is None
        )


class Outcome(StrEnum):
    """What a follower finds."""

    FOUND = "found"
    UNKNOWN = "unknown"
    GONE = "gone"
    NOT_YET = "not-yet"
    PASSWORD = "password"  # noqa: S105  a name, no secret


def outcome(route: Route | None, now_s: float) -> Outcome:
    """Decide what a route means at `now_s`; a link that is not valid yet looks unknown."""
    if route is None or route.state == "deleted":
        return Outcome.UNKNOWN
    if route.state != "active":
        return Outcome.GONE
    if route.valid_from is not None and now_s < route.valid_from:
        return Outcome.NOT_YET
    if route.valid_until is not None and now_s >= route.valid_until:
        return Outcome.GONE
    return Outcome.PASSWORD if route.has_password else Outcome.FOUND


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Route)


def pack(route: Route) -> bytes:
    """Write a route for Valkey."""
    return _ENCODER.encode(route)


def unpack(data: bytes) -> Route | None:
    """Read a route from Valkey; None if another version of the program wrote it."""
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError:
        return None
