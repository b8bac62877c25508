"""Errors as HTTP answers: RFC 9457 problem+json with a request id and no internals."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from posthouse.kernel.errors import FieldProblem, InvalidInputError, PosthouseError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://posthouse.dev/problems/"


class FieldError(BaseModel):
    """What is wrong with one input."""

    field: str = Field(description="Where it is, such as `body.url` or `query.limit`.")
    code: str = Field(description="A stable name of the rule that is broken.")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). Act on `code`; `detail` is for people and may change."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[FieldError] = Field(default_factory=list[FieldError])


def problem_of(error: PosthouseError, request_id: str) -> Problem:
    """Say an error as a problem document."""
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail or error.title + ".",
        request_id=request_id,
        errors=[
            FieldError(field=problem.field, code=problem.code, message=problem.message)
            for problem in error.fields
        ],
    )


def problem_response(error: PosthouseError, request_id: str) -> Response:
    """Answer with an error."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, -(-int(error.retry_after_s * 1000) // 1000)))
    return Response(
        to_json(problem_of(error, request_id)),
        status_code=error.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


# Pydantic's words for the rules that our own documents name.
_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown-field",
    "string_too_long": "too-long",
    "string_too_short": "too-short",
    "string_unicode": "invalid-character",
    "string_type": "not-a-string",
    "int_parsing": "not-an-integer",
    "int_type": "not-an-integer",
    "int_parsing_size": "out-of-range",
    "greater_than": "out-of-range",
    "greater_than_equal": "out-of-range",
    "less_than": "out-of-range",
    "less_than_equal": "out-of-range",
}


def input_error(errors: Sequence[Mapping[str, Any]]) -> InvalidInputError:
    """Say Pydantic's findings in our terms; the offending input is never repeated."""
    found = [
        FieldProblem(
            field=".".join(str(part) for part in error["loc"]),
            code=_CODES.get(str(error["type"]), str(error["type"]).replace("_", "-")),
            message=str(error["msg"]),
        )
        for error in errors[:20]
    ]
    first = found[0] if found else FieldProblem("body", "invalid", "not valid")
    return InvalidInputError(f"{first.field}: {first.message}.", fields=found)


def declared(errors: Iterable[type[PosthouseError]]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for errors that an endpoint may give."""
    by_status: dict[int, list[type[PosthouseError]]] = {}
    for error in errors:
        known = by_status.setdefault(error().status, [])
        if error not in known:
            known.append(error)
    return {
        status: {
            "description": " ".join(f"`{error.code}`: {error.title}." for error in kinds),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, kinds in sorted(by_status.items())
    }
