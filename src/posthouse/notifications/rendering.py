"""Renders compiled templates: values in, a message out; no I/O, and always short."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from jinja2 import Template

from posthouse.kernel.errors import FieldProblem
from posthouse.notifications.engine import Engine, UnknownNameError, has_code
from posthouse.notifications.errors import (
    NotificationInvalidError,
    TemplateInvalidError,
    TemplateVariableMissingError,
)
from posthouse.notifications.grammar import SourceError
from posthouse.notifications.locales import fallbacks, read_locale
from posthouse.notifications.model import (
    Channel,
    Content,
    EmailContent,
    PushContent,
    SmsContent,
)
from posthouse.notifications.parts import CONTROL, LINES, NEEDED, Sources
from posthouse.notifications.plaintext import tidy
from posthouse.notifications.templating import Compiled

_KEPT = 4 * 1024 * 1024
_TARGET = re.compile(r"(?!javascript:|data:|vbscript:|file:)(?:[a-z][a-z0-9+.-]{1,30}:|/)", re.I)


class Renderer:
    """Renders, and keeps the code of templates that were used lately."""

    def __init__(self, kept_characters: int = _KEPT) -> None:
        """Keep the code of sources of so many characters together."""
        self._plain, self._html = Engine(is_html=False), Engine(is_html=True)
        self._most = kept_characters
        self._size = 0
        self._built: OrderedDict[tuple[bool, str], Template] = OrderedDict()

    def render(
        self,
        compiled: Compiled,
        channel: Channel,
        locale: str | None,
        variables: Mapping[str, Any],
    ) -> Content:
        """Make the message for one channel, in the language nearest to `locale`.

        Raises:
            TemplateVariableMissingError: `variables` lacks a name; `fields` names it.
            RenderBudgetError: it does too much or becomes too large.
            TemplateInvalidError: it cannot be done with such data, or not through this channel.
            NotificationInvalidError: what came out cannot be sent, such as a subject of two lines.
        """
        written, parts = _choose(compiled, channel, locale)
        self._speak(written, locale, is_fixed=len(compiled.locales) > 1)
        self._plain.budget.renew()
        self._html.budget.renew()
        where = f"{channel}.{written}"
        made = {name: self._part(name, source, variables, where) for name, source in parts.items()}
        for name in NEEDED[channel]:
            if not made[name]:
                _refuse(f"{where}.{name}", "empty-text", "nothing is left of it")
        if channel is Channel.EMAIL:
            text = made["text"] or made["subject"]
            return EmailContent(made["subject"], text, made.get("html") or None)
        if channel is Channel.SMS:
            return SmsContent(made["text"])
        return PushContent(made["title"], made["body"], made.get("url") or None)

    def _speak(self, written: str, locale: str | None, *, is_fixed: bool) -> None:
        """Write figures as the reader does, if the text is in the reader's language."""
        wanted = read_locale(locale) if locale else None
        is_same = wanted is not None and wanted.partition("-")[0] == written.partition("-")[0]
        spoken = wanted if wanted is not None and (is_same or not is_fixed) else written
        self._plain.locale = self._html.locale = spoken

    def _part(self, name: str, source: str, variables: Mapping[str, Any], where: str) -> str:
        is_html = name == "html"
        if not has_code(source):
            text = source
        else:
            engine = self._html if is_html else self._plain
            text = self._run(engine, is_html, source, variables, f"{where}.{name}")
        if name in LINES:
            text = text.strip()
            _require_line(name, text, where)
        elif not is_html:
            text = tidy(text) if name == "text" and where.startswith("email") else text.strip()
        return text

    def _run(
        self, engine: Engine, is_html: bool, source: str, variables: Mapping[str, Any], where: str
    ) -> str:
        try:
            return engine.run(self._code(engine, is_html, source), variables)
        except UnknownNameError as error:
            name = str(error.args[0])
            problem = FieldProblem(f"body.data.{name}", "missing", f"{where} needs it")
            raise TemplateVariableMissingError(f"It lacks {name}.", fields=[problem]) from error
        except SourceError as error:
            line = f"line {error.line}: " if error.line else ""
            problem = FieldProblem(where, "template-invalid", f"{line}{error}")
            raise TemplateInvalidError(fields=[problem]) from error

    def _code(self, engine: Engine, is_html: bool, source: str) -> Template:
        key = (is_html, source)
        known = self._built.get(key)
        if known is not None:
            self._built.move_to_end(key)
            return known
        left = engine.budget.steps, engine.budget.work
        template = engine.build(source)
        engine.budget.steps, engine.budget.work = left
        self._built[key] = template
        self._size += len(source)
        while self._size > self._most and len(self._built) > 1:
            (_, oldest), _ = self._built.popitem(last=False)
            self._size -= len(oldest)
        return template


def _choose(compiled: Compiled, channel: Channel, locale: str | None) -> tuple[str, Sources]:
    for name in fallbacks(locale, compiled.default_locale):
        parts = compiled.locales.get(name, {}).get(channel)
        if parts is not None:
            return name, parts
    raise TemplateInvalidError(
        fields=[FieldProblem("body.channels", "channel-missing", f"it has nothing for {channel}")]
    )


def _require_line(name: str, text: str, where: str) -> None:
    if CONTROL.search(text):
        _refuse(f"{where}.{name}", "newline", "it must be one line")
    if name == "url" and text and not _TARGET.match(text):
        _refuse(f"{where}.{name}", "url-invalid", "give an address such as https://example.com/")


def _refuse(field: str, code: str, message: str) -> None:
    raise NotificationInvalidError(fields=[FieldProblem(field, code, message)])
