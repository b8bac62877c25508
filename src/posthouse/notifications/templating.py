"""Templates as they are written become templates as they are sent with: checked, and in one form.

A version is compiled once: its MJML is HTML by then, its layout is around it, and it has a text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from posthouse.notifications import dataschema, mjml
from posthouse.notifications.engine import has_code
from posthouse.notifications.errors import TemplateInvalidError
from posthouse.notifications.grammar import SourceError
from posthouse.notifications.locales import read_locale
from posthouse.notifications.model import Channel, Json
from posthouse.notifications.parts import (
    Problems,
    Sources,
    are_parts,
    needs_of,
    read_all,
    read_part,
    require_text,
)
from posthouse.notifications.plaintext import text_of

FORMAT = 1
MAX_LOCALES = 50
INLINE = frozenset({"subject", "text", "html", "title", "body", "url"})
_CONTENT = re.compile(r"\{\{-?\s*content\s*-?\}\}")
_MJML_BODY = re.compile(r"\s*<mjml[\s>]")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template that can be rendered: for each locale and channel the sources of its parts.

    `needs` are the names that the data must have for a channel; with a schema, that says it.
    """

    default_locale: str
    locales: Mapping[str, Mapping[Channel, Sources]]
    schema: Json | None
    needs: Mapping[Channel, tuple[str, ...]]

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels that it can be sent through."""
        return frozenset(self.locales[self.default_locale])

    def check(self, data: Mapping[str, Any], channels: Iterable[Channel] | None = None) -> None:
        """Go on if the data is what the template needs, for all or for some channels.

        Raises:
            TemplateVariableMissingError: it is not; `fields` names `body.data.…`.
        """
        if self.schema is not None:
            dataschema.check_data(self.schema, data)
            return
        wanted = self.channels if channels is None else self.channels & frozenset(channels)
        names = {name for channel in wanted for name in self.needs.get(channel, ())}
        dataschema.require_names(sorted(names), data)

    def mentions(self, name: str) -> bool:
        """Whether a source has this name in it."""
        parts = (parts for channels in self.locales.values() for parts in channels.values())
        return any(name in source for one in parts for source in one.values())

    def as_json(self) -> Json:
        """The same as a JSON value."""
        return {
            "format": FORMAT,
            "default_locale": self.default_locale,
            "schema": self.schema,
            "locales": {
                locale: {channel.value: dict(parts) for channel, parts in channels.items()}
                for locale, channels in self.locales.items()
            },
            "needs": {channel.value: list(names) for channel, names in self.needs.items()},
        }

    @classmethod
    def from_json(cls, value: Json) -> "Compiled":
        """Read what `as_json` gave.

        Raises:
            TemplateInvalidError: a later Posthouse wrote it.
        """
        if value.get("format") != FORMAT:
            raise TemplateInvalidError("It was compiled by another version; publish it again.")
        return cls(
            default_locale=value["default_locale"],
            locales={
                locale: {Channel(channel): parts for channel, parts in channels.items()}
                for locale, channels in value["locales"].items()
            },
            schema=value["schema"],
            needs={Channel(channel): tuple(names) for channel, names in value["needs"].items()},
        )


def compile_template(content: Json, layout: Json | None) -> Compiled:
    """Check and compile a template with the layout that it names.

    It may use half a second and native code; callers run it in a child.

    Raises:
        TemplateInvalidError: it does not compile; `fields` names the part, and the line.
    """
    return _Compilation(layout).run(content)


def check_layout(source: Json) -> None:
    """Go on if a layout can be put around something.

    Raises:
        TemplateInvalidError: it cannot; `fields` says why.
    """
    sample = {"mjml": "<mj-section></mj-section>"} if "mjml" in source else {"html": "<p></p>"}
    email = {"subject": "x", "text": "x", **sample}
    _Compilation(source).run({"default_locale": "en", "locales": {"en": {"email": email}}})


def compile_inline(content: Json) -> Compiled:
    """Compile what a request holds itself: subject, text, html, title, body, url.

    Raises:
        TemplateInvalidError: it says nothing, or does not compile; `fields` names `body.content.…`.
    """
    given = {name: value for name, value in content.items() if value is not None}
    problems = Problems("body.content")
    for name in given.keys() - INLINE:
        problems.add((name,), "unknown-field", "not a part of a message")
    for name, value in given.items():
        require_text(problems, (name,), name, value)
    problems.end()
    read_all(problems, (), given)
    problems.end()
    subject, text = given.get("subject"), given.get("text")
    title, body = given.get("title") or given.get("subject"), given.get("body") or given.get("text")
    html = given.get("html")
    parts: dict[Channel, Sources] = {}
    if subject and (text or html):
        parts[Channel.EMAIL] = {"subject": subject, "text": text or text_of(html or "")}
        if html:
            parts[Channel.EMAIL] = {**parts[Channel.EMAIL], "html": html}
    if text:
        parts[Channel.SMS] = {"text": text}
    if title and body:
        url = {"url": given["url"]} if given.get("url") else {}
        parts[Channel.PUSH] = {"title": title, "body": body, **url}
    if not parts:
        problems.add((), "missing", "give subject and text, or title and body")
        problems.end()
    needs = {
        channel: needs_of(problems, (), sources) if any(map(has_code, sources.values())) else ()
        for channel, sources in parts.items()
    }
    problems.end()
    return Compiled("en", {"en": parts}, None, needs)


@dataclass(slots=True)
class _Compilation:
    """One template on its way."""

    layout: Json | None
    is_layout_sound: bool = True

    def run(self, content: Json) -> Compiled:
        problems = Problems()
        self.is_layout_sound = self._is_layout_sound(problems)
        schema = content.get("schema")
        if schema is not None:
            try:
                dataschema.require_schema(schema)
            except dataschema.SchemaError as error:
                problems.add(("schema",), "schema-invalid", str(error))
        locales = self._locales(problems, content)
        problems.end()
        default = cast("str", read_locale(str(content.get("default_locale", "en"))))
        needs: dict[Channel, set[str]] = {}
        for locale, channels in locales.items():
            for channel, parts in channels.items():
                path = ("locales", locale, channel.value)
                needs.setdefault(channel, set()).update(needs_of(problems, path, parts))
        problems.end()
        return Compiled(
            default,
            locales,
            cast("Json | None", schema),
            {channel: tuple(sorted(names)) for channel, names in needs.items()},
        )

    def _locales(self, problems: Problems, content: Json) -> dict[str, dict[Channel, Sources]]:
        default = read_locale(str(content.get("default_locale", "en")))
        found: dict[str, dict[Channel, Sources]] = {}
        given = content.get("locales")
        if not isinstance(given, Mapping) or not 0 < len(cast("Json", given)) <= MAX_LOCALES:
            problems.add(("locales",), "invalid", "give 1 to 50 languages")
            return found
        for spelt, channels in cast("Json", given).items():
            locale = read_locale(spelt)
            if locale is None or locale in found or not isinstance(channels, Mapping):
                problems.add(("locales", spelt), "invalid", "not a language tag, or there twice")
                continue
            found[locale] = self._channels(problems, spelt, cast("Json", channels))
        if default is None or default not in found:
            problems.add(("default_locale",), "missing", "there is nothing in this language")
            return found
        for locale, parts in found.items():
            for channel in parts.keys() - found[default].keys():
                path = ("locales", default, channel.value)
                words = f"{locale} has it, so the default language needs it too"
                problems.add(path, "missing", words)
        if not found[default]:
            problems.add(("locales", default), "missing", "there is nothing in it")
        return found

    def _channels(self, problems: Problems, locale: str, channels: Json) -> dict[Channel, Sources]:
        found: dict[Channel, Sources] = {}
        for name, parts in channels.items():
            path = ("locales", locale, name)
            if name not in {one.value for one in Channel} or not isinstance(parts, Mapping):
                problems.add(path, "invalid", "not a channel")
                continue
            channel = Channel(name)
            given = {
                part: value for part, value in cast("Json", parts).items() if value is not None
            }
            if not are_parts(problems, path, channel, given):
                continue
            if channel is Channel.EMAIL:
                try:
                    found[channel] = self._email(problems, path, cast("dict[str, str]", given))
                except SourceError as error:
                    problems.source(path, error)
            else:
                read_all(problems, path, given)
                found[channel] = cast("Sources", given)
        return found

    def _email(self, problems: Problems, path: tuple[str, ...], given: dict[str, str]) -> Sources:
        if not read_all(problems, path, given) or not self.is_layout_sound:
            return given
        html = self._html(problems, path, given)
        if html is None and given.keys() & {"mjml", "html"}:
            return given
        frame, text = (self.layout or {}).get("text"), given.get("text")
        if text is None and frame is not None:
            inner = given.get("html") or _from_mjml(given["mjml"], {})
            text = text_of(inner)
        if text is None:
            text = text_of(html or "")
        elif frame is not None:
            text = _put(frame, text)
        made = {"subject": given["subject"], "text": text}
        return made if html is None else {**made, "html": html}

    def _html(self, problems: Problems, path: tuple[str, ...], given: dict[str, str]) -> str | None:
        """The HTML with the layout around it.

        Raises:
            SourceError: something cannot be put together.
        """
        layout = self.layout or {}
        try:
            if "mjml" in given:
                return _from_mjml(given["mjml"], layout)
            html = given.get("html")
            if html is None:
                return None
            if "html" in layout:
                return _put(layout["html"], html)
            if "mjml" in layout:
                frame = _put(layout["mjml"], "<mj-raw>{{ content }}</mj-raw>")
                return _put(mjml.to_html(frame), html)
        except SourceError as error:
            problems.source((*path, "mjml" if "mjml" in given else "html"), error)
            return None
        return html

    def _is_layout_sound(self, problems: Problems) -> bool:
        if self.layout is None:
            return True
        is_sound = ("mjml" in self.layout) != ("html" in self.layout)
        if not is_sound:
            problems.add(("layout",), "invalid", "a layout is either mjml or html")
        for name, source in self.layout.items():
            path = ("layout", name)
            if name not in {"mjml", "html", "text"} or not isinstance(source, str):
                problems.add(path, "invalid", "not a part of a layout")
                is_sound = False
            elif len(_CONTENT.findall(source)) != 1:
                problems.add(path, "content-missing", "it needs {{ content }} exactly once")
                is_sound = False
            else:
                is_sound &= read_part(problems, path, name, source)
        return is_sound


def _from_mjml(source: str, layout: Json) -> str:
    """HTML of MJML; what is no whole document is put into the layout, or into an empty one.

    Raises:
        SourceError: it is no MJML, or its layout is HTML.
    """
    if "html" in layout:
        raise SourceError("its layout is HTML; write html, or make the layout MJML")
    if "mjml" in layout:
        if _MJML_BODY.match(source):
            raise SourceError("its layout is around it; write only what is in the body", 1)
        source = _put(layout["mjml"], source)
    elif not _MJML_BODY.match(source):
        source = f"<mjml><mj-body>{source}</mj-body></mjml>"
    return mjml.to_html(source)


def _put(frame: str, content: str) -> str:
    return _CONTENT.sub(lambda _: content, frame, count=1)
