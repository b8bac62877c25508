"""Turns every failure inside FastAPI into a problem document."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from posthouse.kernel.errors import (
    InternalError,
    MalformedError,
    MethodError,
    NotFoundError,
    PosthouseError,
    TooLargeError,
)
from posthouse.kernel.problems import input_error, problem_response


def install_handlers(api: FastAPI) -> None:
    """Register the translations; what nobody meant to raise is answered here and told the edge."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, PosthouseError)  # noqa: S101  registered for this class only
        return problem_response(error, request.state.request_id)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  as above
        return problem_response(input_error(error.errors()), request.state.request_id)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  as above
        return problem_response(_of_http(api, request, error), request.state.request_id)

    async def unexpected(request: Request, error: Exception) -> Response:
        # Starlette sends this in place of its own plain text, and raises the error on to the edge.
        del error
        return problem_response(InternalError(), request.state.request_id)

    api.add_exception_handler(PosthouseError, ours)
    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(Exception, unexpected)


def _of_http(api: FastAPI, request: Request, error: HTTPException) -> PosthouseError:
    if error.status_code == MethodError().status:
        allowed = ", ".join(sorted(set(_allowed_methods(api, request))))
        return MethodError(f"Allowed here: {allowed}.", headers={"Allow": allowed})
    if error.status_code == TooLargeError().status:
        return TooLargeError()
    if error.status_code == NotFoundError().status:
        return NotFoundError()
    return MalformedError()


def _allowed_methods(api: FastAPI, request: Request) -> Iterator[str]:
    """The methods of all routes that have the path; Starlette names only the first one's."""
    for context in iter_route_contexts(api.routes):
        route = context._effective_route  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        match, _ = route.matches(dict(request.scope))
        if match is not Match.NONE:
            yield from context.methods or ()
