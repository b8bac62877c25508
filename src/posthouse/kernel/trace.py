"""One trace id from the request to the job that it caused.

Source: W3C Trace Context (`traceparent`), version 00. A malformed header is dropped, never an
error.
"""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def accept(header: str | None) -> str:
    """Go on with the caller's trace if its header is well-formed, else start one."""
    match = _TRACEPARENT.fullmatch(header or "")
    trace_id = match[1] if match else secrets.token_hex(16)
    flags = match[3] if match else "01"
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
    _current.set(traceparent)
    return traceparent


@contextmanager
def resumed(trace_id: str) -> Generator[None]:
    """Let the block belong to a trace of which the id was kept; to none if that is empty."""
    token = _current.set(_part_of(trace_id) if trace_id else None)
    try:
        yield
    finally:
        _current.reset(token)


@lru_cache(maxsize=1024)
def _part_of(trace_id: str) -> str:
    """The `traceparent` of what this process does for a trace."""
    return f"00-{trace_id}-{secrets.token_hex(8)}-01"


def current() -> str | None:
    """The `traceparent` of the work that runs now."""
    return _current.get()


def trace_id() -> str | None:
    """The trace id of the work that runs now: 32 hexadecimal characters."""
    traceparent = _current.get()
    return traceparent.split("-")[1] if traceparent else None
