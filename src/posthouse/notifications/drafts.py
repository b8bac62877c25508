"""Compiles and previews templates of strangers in a child of the sandbox.

The child is stopped when it has used its time, so a template can only fail itself.
"""

import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.zygote import Channel as Line
from posthouse.notifications.errors import RenderBudgetError, TemplateInvalidError
from posthouse.notifications.locales import fallbacks, read_locale
from posthouse.notifications.model import Channel, Json
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.templating import Compiled, check_layout, compile_template

PREVIEW_S = 0.25
COMPILE_S = 2.0
SAMPLE: Mapping[str, Any] = {
    "recipient": {
        "id": "rcp_example",
        "external_id": "example",
        "name": "Ann Example",
        "email": "ann@example.com",
        "phone": "+4930901820",
        "locale": "en",
        "timezone": "Europe/Berlin",
        "attributes": {},
    },
    "links": {},
    "unsubscribe_url": "https://example.com/unsubscribe",
    "preferences_url": "https://example.com/preferences",
}
"""What sending fills in, for a preview that goes to nobody."""


def compile_draft(line: Line) -> Json:
    """Compile `{"content", "layout"}`; give `{"compiled"}`, or `{"problem"}`."""
    given = _read(line)
    return _answer(
        COMPILE_S,
        lambda: {"compiled": compile_template(given["content"], given["layout"]).as_json()},
    )


def try_layout(line: Line) -> Json:
    """Check `{"source"}`; give nothing, or `{"problem"}`."""
    given = _read(line)

    def check() -> Json:
        check_layout(given["source"])
        return {}

    return _answer(COMPILE_S, check)


def preview(line: Line) -> Json:
    """Render one channel of a draft or of a version, as `render_sample` does."""
    given = _read(line)
    return _answer(PREVIEW_S, lambda: render_sample(given))


def render_sample(given: Json) -> Json:
    """Render `{"content", "layout"}` or `{"compiled"}` with `{"channel", "locale", "data"}`.

    What sending would fill in is made up, unless the data has it.

    Raises:
        TemplateInvalidError: it does not compile, or has no such channel.
        TemplateVariableMissingError: the data is not what it needs.
        RenderBudgetError: it does too much.
        NotificationInvalidError: what comes out cannot be sent.
    """
    channel, locale = Channel(given["channel"]), given["locale"]
    if given.get("compiled") is not None:
        compiled = Compiled.from_json(given["compiled"])
    else:
        content = _only(given["content"], channel, locale)
        compiled = compile_template(content, given["layout"])
    data: Json = given["data"]
    own = {name: value for name, value in data.items() if name not in SAMPLE}
    compiled.check(own, [channel])
    made = Renderer().render(compiled, channel, locale, {**SAMPLE, **data})
    return {"channel": channel, **asdict(made)}


def _only(content: Json, channel: Channel, locale: str | None) -> Json:
    """The draft with nothing but what is looked at, so that the rest costs no time.

    Raises:
        TemplateInvalidError: there is no such thing in it.
    """
    locales: Json = {read_locale(name) or name: parts for name, parts in content["locales"].items()}
    for name in fallbacks(locale, content["default_locale"]):
        parts = locales.get(name, {}).get(channel)
        if parts is not None:
            return {**content, "default_locale": name, "locales": {name: {channel: parts}}}
    raise TemplateInvalidError(f"It has nothing for {channel} in this language or its default.")


def _read(line: Line) -> Json:
    found: Json = json.loads(line.receive() or b"{}")
    return found


def _answer(cpu_s: float, work: Callable[[], Json]) -> Json:
    """Do some work within a time of the processor; what is refused is said as a value."""
    with suppress(ValueError):  # only a main thread may; a child has no other
        signal.signal(signal.SIGVTALRM, _stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        return work()
    except PosthouseError as error:
        fields = [asdict(one) for one in error.fields]
        return {"problem": {"code": error.code, "detail": error.detail, "fields": fields}}
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _stop(number: int, frame: object) -> None:
    del number, frame
    raise RenderBudgetError("It takes too long.")
