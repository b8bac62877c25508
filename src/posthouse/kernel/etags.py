"""`ETag` and `If-Match`: edit what you have read, or hear 412.

The tag is the row's version in quotes, a strong validator (RFC 9110 section 8.8.3).
"""

import re

from starlette.requests import Request

from posthouse.kernel.errors import FieldProblem, InvalidInputError

_TAG = re.compile(r'(?:W/)?"v(\d{1,18})"')


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"v{version}"'


def if_match(request: Request) -> int | None:
    """The version that the caller has read, or None if it asks for none (no header, or `*`).

    Raises:
        InvalidInputError: the header holds no tag of ours.
    """
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    match = _TAG.fullmatch(header.strip())
    if match is None:
        raise InvalidInputError(
            "If-Match must be the ETag of an earlier answer.",
            fields=[FieldProblem("header.if-match", "invalid", 'not a tag like "v3"')],
        )
    return int(match[1])
