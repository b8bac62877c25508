"""The few pages that followers of a link may see; a client that asks for JSON gets a problem."""

from functools import cache
from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from posthouse.kernel.errors import Kind, PosthouseError
from posthouse.kernel.pageheaders import page_headers
from posthouse.kernel.problems import problem_response
from posthouse.links.routes import Route

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1rem;"
    "color:#1c1c1c;background:#fdfcf9}h1{font-size:1.5rem}a{color:#7a3b00;word-break:break-all}"
    "input,button{font:inherit;padding:.4rem .7rem;margin:.2rem .4rem .2rem 0}"
    ".wrong{color:#a40000}@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1a18}"
    "a{color:#ffb066}.wrong{color:#ff8d8d}}"
)
_HEADERS = page_headers(_STYLE)


class UnknownCodeError(PosthouseError):
    """Nobody has this code, or it is not valid yet; which of them is not told."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "code-unknown"
    title: ClassVar[str] = "There is no such link"


class LinkGoneError(PosthouseError):
    """The link was there, but has expired, is used up or was disabled."""

    kind: ClassVar[Kind] = Kind.GONE
    code: ClassVar[str] = "link-gone"
    title: ClassVar[str] = "This link does not work any more"


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("posthouse.links"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(name)


def _page(name: str, status: int, **values: Any) -> Response:
    html = _template(name).render(style=_STYLE, **values)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)


def _wants_json(request: Request) -> bool:
    return "json" in request.headers.get("accept", "")


def failure(request: Request, error: PosthouseError) -> Response:
    """Say that following failed."""
    if _wants_json(request):
        return problem_response(error, request.headers.get("x-request-id", "-"))
    response = _page(
        "message.html", error.status, title=error.title, detail=error.detail or f"{error.title}."
    )
    response.headers.update(error.headers)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s + 0.5)))
    return response


def unknown(request: Request) -> Response:
    """Say that there is nothing under this code."""
    return failure(request, UnknownCodeError("Check the address for a missing or wrong letter."))


def gone(request: Request) -> Response:
    """Say that the link has ended."""
    return failure(request, LinkGoneError("It has expired, was used up or was switched off."))


def password_form(request: Request, *, is_wrong: bool) -> Response:
    """Ask for the link's password; the form posts to the same address."""
    return _page(
        "password.html", 401 if is_wrong else 200, is_wrong=is_wrong, action=request.url.path
    )


def preview(request: Request, route: Route) -> Response:
    """Show where a link leads without going there."""
    return _page(
        "preview.html",
        200,
        target=route.location,
        short=str(request.url).removesuffix("+"),
    )
