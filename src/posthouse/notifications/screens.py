"""The pages for those who get messages: leaving a category, and choosing what comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.pageheaders import page_headers
from posthouse.kernel.problems import problem_response
from posthouse.notifications.choices import Category, Preferences
from posthouse.notifications.model import Channel

_STYLE = (
    "*{box-sizing:border-box}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:6vh auto;padding:0 1rem;"
    "color:#1c1c1c;background:#fdfcf9;overflow-wrap:anywhere}h1{font-size:1.5rem}"
    "h2{font-size:1.1rem;margin:0}fieldset{border:1px solid #c9c4b8;border-radius:.4rem;"
    "margin:0 0 1rem;padding:.6rem .9rem;min-width:0}legend{font-weight:600;padding:0 .3rem;"
    "max-width:100%}"
    "label{display:inline-flex;align-items:center;gap:.45rem;min-height:2.75rem;"
    "margin-right:1.2rem}input[type=checkbox]{flex:none;width:1.25rem;height:1.25rem;"
    "accent-color:#7a3b00}"
    "input[type=time]{font:inherit;padding:.3rem .5rem}"
    "button{font:inherit;padding:.6rem 1.1rem;border:0;border-radius:.4rem;background:#7a3b00;"
    "color:#fff;cursor:pointer}:focus-visible{outline:3px solid #b86b1f;outline-offset:2px}"
    "p.note{color:#57534a;margin:.2rem 0}.said{border-left:.3rem solid #2b7a2b;padding:.5rem .8rem;"
    "background:#eef6ec}.wrong{border-left:.3rem solid #a40000;padding:.5rem .8rem;"
    "background:#fbeceb}@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1a18}"
    "fieldset{border-color:#57534a}p.note{color:#b8b2a5}button{background:#ffb066;color:#1b1a18}"
    "input[type=checkbox]{accent-color:#ffb066}.said{background:#20301f}.wrong{background:#3a2020}"
    "input[type=time]{color-scheme:dark}}"
)
_HEADERS = page_headers(_STYLE)
CHANNEL_NAMES: Mapping[Channel, str] = {
    Channel.EMAIL: "Email",
    Channel.SMS: "Text message",
    Channel.PUSH: "Push",
}


@dataclass(frozen=True, slots=True)
class Switch:
    """One box to tick."""

    field: str
    label: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A category with its boxes."""

    key: str
    name: str
    is_critical: bool
    shown_field: str
    switches: tuple[Switch, ...]


def field_of(category: str, channel: Channel) -> str:
    """The name of a box in the form."""
    return f"on:{category}:{channel}"


def shown_field(category: str) -> str:
    """The name of what says that the form had boxes for a category."""
    return f"shown:{category}"


def rows_of(categories: Sequence[Category], preferences: Preferences) -> list[Row]:
    """The boxes of the page, critical categories last."""
    ordered = sorted(categories, key=lambda one: (one.is_critical, one.name.casefold()))
    return [
        Row(
            one.key,
            one.name,
            one.is_critical,
            shown_field(one.key),
            tuple(
                Switch(
                    field_of(one.key, channel),
                    CHANNEL_NAMES[channel],
                    one.is_critical or preferences.allows(one.key, channel),
                )
                for channel in Channel
            ),
        )
        for one in ordered
    ]


def unsubscribe(action: str, category: Category, channel: Channel, *, is_done: bool) -> Response:
    """Ask whether somebody wants to leave, or say that it is done, or that nobody can."""
    return _page(
        "unsubscribe.html",
        200,
        action=action,
        category=category.name,
        is_critical=category.is_critical,
        channel=CHANNEL_NAMES[channel].lower(),
        is_done=is_done,
    )


def preferences(
    action: str,
    rows: Sequence[Row],
    chosen: Preferences,
    *,
    is_saved: bool = False,
    problem: str = "",
    quiet: tuple[str, str] | None = None,
) -> Response:
    """Show what somebody gets, to change it; `quiet` are hours that were typed and are wrong."""
    hours = chosen.quiet_hours
    shown = quiet or (("", "") if hours is None else (f"{hours.start:%H:%M}", f"{hours.end:%H:%M}"))
    return _page(
        "preferences.html",
        422 if problem else 200,
        action=action,
        rows=rows,
        is_stopped=chosen.is_stopped,
        quiet_from=shown[0],
        quiet_until=shown[1],
        is_saved=is_saved,
        problem=problem,
    )


def failure(request: Request, error: PosthouseError) -> Response:
    """Say that it did not work; a client that asks for JSON gets a problem."""
    if "json" in request.headers.get("accept", ""):
        return problem_response(error, request.headers.get("x-request-id", "-"))
    response = _page("message.html", error.status, title=error.title, detail=error.detail)
    response.headers.update(error.headers)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s + 0.5)))
    return response


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("posthouse.notifications"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _page(name: str, status: int, **values: Any) -> Response:
    html = _template(name).render(style=_STYLE, **values)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
