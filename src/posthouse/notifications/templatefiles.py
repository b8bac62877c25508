"""Templates as files, for those who keep them beside their code.

templates/welcome/template.json      {"name", "default_locale", "layout", "schema"}
templates/welcome/en.subject.txt     the email's subject
templates/welcome/en.email.mjml      the email, or en.email.html
templates/welcome/en.email.txt       its text, if it is not to be made of the HTML
templates/welcome/en.sms.txt         the text message
templates/welcome/en.push.json       {"title", "body", "url"}
templates/layouts/frame.mjml         a layout, or frame.html
templates/layouts/frame.txt          its text
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from posthouse.notifications.locales import read_locale
from posthouse.notifications.model import Json

LAYOUTS = "layouts"
META = "template.json"
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# The ending of a file, and where in a language's parts its text belongs.
_ENDINGS: Mapping[str, tuple[str, str]] = {
    ".subject.txt": ("email", "subject"),
    ".email.mjml": ("email", "mjml"),
    ".email.html": ("email", "html"),
    ".email.txt": ("email", "text"),
    ".sms.txt": ("sms", "text"),
}
_PUSH = ".push.json"
_KNOWN = frozenset({"name", "default_locale", "layout", "schema"})


class FileProblemError(ValueError):
    """A file is not what it should be: where, and why."""


def keys_in(folder: Path) -> list[str]:
    """The keys of the templates in a folder.

    Raises:
        FileProblemError: a folder's name cannot be a key.
    """
    found = sorted(path.parent.name for path in folder.glob(f"*/{META}"))
    for key in found:
        if not _KEY.fullmatch(key) or key == LAYOUTS:
            raise FileProblemError(f"{folder / key}: a key has small letters, digits and . _ -")
    return found


def layouts_in(folder: Path) -> dict[str, Json]:
    """The sources of the layouts in a folder by their keys.

    Raises:
        FileProblemError: a file belongs to no layout, or cannot be read.
    """
    found: dict[str, Json] = {}
    for path in _files(folder / LAYOUTS):
        kind = {".mjml": "mjml", ".html": "html", ".txt": "text"}.get(path.suffix)
        if kind is None or not _KEY.fullmatch(path.stem):
            raise FileProblemError(f"{path}: a layout is a .mjml, .html or .txt file")
        found.setdefault(path.stem, {})[kind] = _read(path)
    return found


def read_template(folder: Path, key: str) -> Json:
    """Read a template as the API takes it.

    Raises:
        FileProblemError: a file is not what it should be.
    """
    place = folder / key
    meta = _object(place / META)
    unknown = sorted(meta.keys() - _KNOWN)
    if unknown:
        raise FileProblemError(f"{place / META}: `{unknown[0]}` is not known")
    locales: dict[str, Json] = {}
    for path in _files(place):
        if path.name == META:
            continue
        locale, channel, part, value = _part(path)
        parts = locales.setdefault(locale, {})
        if part is None:
            parts[channel] = value
        else:
            parts.setdefault(channel, {})[part] = value
    return {
        "name": meta.get("name", key),
        "schema": meta.get("schema"),
        "default_locale": meta.get("default_locale", "en"),
        "layout": meta.get("layout"),
        "locales": locales,
    }


def write_template(folder: Path, template: Json) -> list[Path]:
    """Write a template that the API gave, and drop files of its folder that it has no more.

    Gives the files that are there now.

    Raises:
        FileProblemError: its key or a language of it can be no name of a file.
    """
    key = _safe_key(template["key"])
    place = folder / key
    place.mkdir(parents=True, exist_ok=True)
    meta = {name: template[name] for name in ("name", "default_locale", "layout", "schema")}
    wanted = {META: _json({name: value for name, value in meta.items() if value is not None})}
    for locale, channels in template["locales"].items():
        if read_locale(locale) != locale:
            raise FileProblemError(f"{locale!r} is no language")
        for ending, (channel, part) in _ENDINGS.items():
            text = channels.get(channel, {}).get(part)
            if text is not None:
                wanted[locale + ending] = text + "\n"
        if "push" in channels:
            wanted[locale + _PUSH] = _json(channels["push"])
    for path in _files(place):
        if path.name not in wanted and _is_ours(path.name):
            path.unlink()
    return _write_all(place, wanted)


def write_layout(folder: Path, layout: Json) -> list[Path]:
    """Write a layout that the API gave; give the files.

    Raises:
        FileProblemError: its key can be no name of a file.
    """
    key = _safe_key(layout["key"])
    place = folder / LAYOUTS
    place.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, str] = {}
    for kind, suffix in (("mjml", ".mjml"), ("html", ".html"), ("text", ".txt")):
        if layout[kind] is not None:
            wanted[key + suffix] = layout[kind] + "\n"
        else:
            (place / (key + suffix)).unlink(missing_ok=True)
    return _write_all(place, wanted)


def _part(path: Path) -> tuple[str, str, str | None, Any]:
    """What a file holds: language, channel, part (None for a whole channel) and value.

    Raises:
        FileProblemError: its name does not say.
    """
    for ending, (channel, part) in _ENDINGS.items():
        if path.name.endswith(ending):
            return _locale_of(path, ending), channel, part, _read(path)
    if path.name.endswith(_PUSH):
        return _locale_of(path, _PUSH), "push", None, _object(path)
    endings = ", ".join([*_ENDINGS, _PUSH])
    raise FileProblemError(f"{path}: a file is named by its language and one of {endings}")


def _locale_of(path: Path, ending: str) -> str:
    locale = read_locale(path.name.removesuffix(ending))
    if locale is None:
        raise FileProblemError(f"{path}: it does not begin with a language such as en or de-AT")
    return locale


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(
            path for path in place.iterdir() if path.is_file() and path.name[0] != "."
        )


def _is_ours(name: str) -> bool:
    return name.endswith((*_ENDINGS, _PUSH))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblemError(f"{path} cannot be read: it is no text in UTF-8") from error


def _object(path: Path) -> Json:
    try:
        found = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise FileProblemError(f"{path}, line {error.lineno}: {error.msg}") from error
    if not isinstance(found, dict):
        raise FileProblemError(f"{path}: it is no object")
    return cast("Json", found)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _safe_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise FileProblemError(f"{key!r} can be no name of a file")
    return key


def _write_all(place: Path, wanted: Mapping[str, str]) -> list[Path]:
    for name, text in wanted.items():
        (place / name).write_text(text, "utf-8", newline="\n")
    return [place / name for name in sorted(wanted)]
