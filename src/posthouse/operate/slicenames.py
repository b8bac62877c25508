"""The names of a slice that is to be made, in every spelling, and which names will not do."""

import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.tables import metadata
from posthouse.settings import Settings
from posthouse.slices import SLICES

TEMPLATE = Path(__file__).parent / "slice_template"

_NAME = re.compile(r"[a-z](?:_?[a-z]){2,20}")
_LONGEST = 21
# What stands for the new names in the templates: `parcels` in code, `/parcels` and `parcel-` in
# addresses and codes, `things` in sentences, `@…@` for the rest.
_PLACES = re.compile(
    r'(?P<dashed>(?<=[ "1]/)parcels\b|\bparcel(?=-))'
    r"|(?P<spoken>(?:\b[Aa] )?\b[Tt]hings?\b)"
    r"|PARCELS?|[Pp]arcels?|@\w+@"
)
# Source: PostgreSQL 18, appendix C: the key words that cannot name a table.
_KEY_WORDS = """
all analyse analyze and any array asc asymmetric authorization binary both case cast check
collate collation column concurrently constraint create cross current_date current_user
default deferrable desc distinct else end except false fetch for foreign freeze from full
grant group having ilike initially inner intersect into isnull join lateral leading left
like limit localtime natural not notnull null offset only order outer overlaps placing
primary references returning right select session_user similar some symmetric system_user
table tablesample then trailing true union unique user using variadic verbose when where
window with
"""
_SQL_WORDS = frozenset(_KEY_WORDS.split())
# Prefixes of ids that the design has given away to slices that are still to come.
_PROMISED = frozenset({"wsp", "dom", "fil", "ntf", "dlv", "tpl", "rcp", "evt", "whk"})


class RefusedError(Exception):
    """The slice is not made; the text says why, and `exit_code` follows sysexits.h."""

    def __init__(self, says: str, exit_code: int = 64) -> None:
        """Say what is the case; 64 is usage, 73 is taken."""
        super().__init__(says)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Names:
    """A slice, its noun and the prefix of the noun's ids: `gift_cards`, `gift_card`, `gft`."""

    plural: str
    noun: str
    prefix: str
    revision: str
    before: str

    def render(self, template: str) -> str:
        """Put the names where they belong in a template."""
        return _PLACES.sub(self._spell, template)

    def _spell(self, place: re.Match[str]) -> str:
        article, _, word = place[0].rpartition(" ")
        if word.startswith("@"):
            return str(getattr(self, word.strip("@")))
        name = self.plural if word.lower().endswith("s") else self.noun
        if place["spoken"]:
            said = name.replace("_", " ")
            said = said.capitalize() if word[0].isupper() else said
            vowel = "n" if article and said[0] in "aeio" else ""
            return f"{article}{vowel} {said}" if article else said
        if place["dashed"]:
            return name.replace("_", "-")
        if word.isupper():
            return name.upper()
        return camel(name) if word[0].isupper() else name


def camel(name: str) -> str:
    """The name as a class has it: `gift_card` is `GiftCard`."""
    return "".join(part.capitalize() for part in name.split("_"))


def singular(plural: str) -> str:
    """Guess the noun of a plural; nothing if it does not look like one."""
    if plural.endswith("ies"):
        return f"{plural.removesuffix('ies')}y"
    return plural.removesuffix("s") if plural.endswith("s") else ""


def check_names(plural: str, noun: str, root: Path) -> None:
    """Go on if a slice of the clone `root` can be called so.

    Raises:
        RefusedError: it cannot.
    """
    for name in (plural, noun):
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise RefusedError(
                f"`{name}` will not do: give 3 to {_LONGEST} of a-z and _, such as gift_cards."
            )
    if plural == noun:
        raise RefusedError(f"`{plural}` is both the slice and its noun: they must differ.")
    reserved = _reserved()
    for name in (plural, noun):
        if name in reserved or camel(name) in reserved or hasattr(builtins, name):
            raise RefusedError(f"`{name}` has another meaning in Python or in the slice's rooms.")
    if plural in _SQL_WORDS:
        raise RefusedError(f"`{plural}` is a word of SQL, so no table can be called so.")
    if plural in _taken(root) or noun in _taken_nouns():
        raise RefusedError(f"`{plural}` (of `{noun}`) is taken: give another name.", 73)
    first_words = {field.split("_")[0] for field in Settings.model_fields}
    if plural.partition("_")[0] in first_words:
        raise RefusedError(f"POSTHOUSE_{plural.upper()}_… would look like another setting.", 73)


def fresh_prefix(noun: str) -> str:
    """A prefix of three letters for the noun's ids that no other kind of id has.

    Raises:
        RefusedError: all that resemble the noun are taken.
    """
    letters = noun.replace("_", "")
    sounds = letters[0] + re.sub("[aeiou]", "", letters[1:])
    taken = _PROMISED | set(_prefixes())
    tried = [sounds[:3], letters[:3], sounds[:2] + letters[-1], letters[:2] + letters[-1]]
    for prefix in tried:
        if len(prefix) == 3 and prefix not in taken:  # noqa: PLR2004  every kind has three
            return prefix
    raise RefusedError(f"No prefix is free for ids of `{noun}`: give another noun.", 73)


def _prefixes() -> Iterator[str]:
    for path in TEMPLATE.parent.parent.glob("*/model.py"):
        yield from re.findall(r'Prefix\("(\w+)"\)', path.read_text("utf-8"))


def _reserved() -> frozenset[str]:
    """What the names would be mixed up with: key words, and all names in the templates."""
    found = {*keyword.kwlist, *keyword.softkwlist}
    for path in TEMPLATE.rglob("*.py.txt"):
        text = _PLACES.sub("_", path.read_text("utf-8"))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        found |= {token.string for token in tokens if token.type == tokenize.NAME}
    return frozenset(found)


def _taken(root: Path) -> frozenset[str]:
    """Modules, folders of tests, guides, tables and the first words of routes."""
    places = (root / "src" / "posthouse", root / "tests", root / "docs" / "guides")
    files = {path.stem for place in places for path in place.iterdir()}
    routes = (route for one in SLICES for routes in one.routes for route in routes.router.routes)
    heads = {str(getattr(route, "path", "")).strip("/").split("/")[0] for route in routes}
    return frozenset(files | set(metadata.tables) | {head.replace("-", "_") for head in heads})


def _taken_nouns() -> frozenset[str]:
    """Nouns of events and of errors."""
    events = {event.name.partition(".")[0] for one in SLICES for event in one.events}
    codes = (kind.code for kind in _subclasses(PosthouseError))
    endings = ("-not-found", "-limit")
    nouns = {code.removesuffix(end) for code in codes for end in endings if code.endswith(end)}
    return frozenset(name.replace("-", "_") for name in events | nouns)


def _subclasses(kind: type[PosthouseError]) -> Iterable[type[PosthouseError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)
