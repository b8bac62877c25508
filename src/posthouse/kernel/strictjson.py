"""JSON as RFC 8259 and RFC 7493 (I-JSON) want it: UTF-8, one meaning, bounded depth.

Python's reader takes UTF-16, NaN and a name given twice; each of them means something else to
somebody, so they are refused here.
"""

import json
from typing import Any, NoReturn

from posthouse.kernel.errors import MalformedJsonError

MAX_DEPTH = 64


def parse(body: bytes) -> Any:
    """Read one JSON text.

    Raises:
        MalformedJsonError: it is not UTF-8 or not JSON, holds NaN or Infinity, a name twice, a
            number of thousands of digits, or is nested deeper than 64 levels.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJsonError("The body is not UTF-8.") from error
    # Each level takes a bracket, so most bodies need no walk.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise MalformedJsonError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedJsonError(f"{reason}{place}.") from error


def _depth(text: str) -> int:
    depth = deepest = 0
    is_inside_string = is_escaped = False
    for character in text:
        if is_inside_string:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == '"':
                is_inside_string = False
        elif character == '"':
            is_inside_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return depth
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJsonError("A name is given twice in one object.")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJsonError(f"{name} is not JSON.")
