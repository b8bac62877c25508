"""Keeps template tags safe from programs that read a template as HTML or MJML.

Each tag is replaced by a word that means nothing to them, and put back afterwards.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, TemplateSyntaxError

from posthouse.notifications.grammar import SourceError

_LEXER = Environment(autoescape=True)
_BEGIN = {"variable_begin", "block_begin", "comment_begin", "raw_begin"}
_END = {"variable_end", "block_end", "comment_end", "raw_end"}
_MARK = "zqtag"
_WORD = re.compile(rf"{_MARK}[vb]\d{{5}}{_MARK[::-1]}")
_ALL_BLOCKS = re.compile(rf"(?:{_MARK}b\d{{5}}{_MARK[::-1]}\s*)+")
_LOOKS_LIKE_CODE = re.compile(r"\{(?=[{%#])")


@dataclass(frozen=True, slots=True)
class Tags:
    """A text whose tags are hidden behind words, and the tags by their words."""

    text: str
    hidden: Mapping[str, str]

    def restore(self, text: str) -> str:
        """Put the tags back into what became of the text; what only looks like one is quoted."""
        quoted = _LOOKS_LIKE_CODE.sub("{{ '{' }}", text)
        return _WORD.sub(lambda found: self.hidden.get(found[0], found[0]), quoted)

    def are_blocks(self, text: str) -> bool:
        """Whether a text is nothing but tags that show nothing, such as `{% if … %}`."""
        return _ALL_BLOCKS.fullmatch(text) is not None

    def lost(self, text: str) -> str | None:
        """The first tag that is missing in what became of the text."""
        words = set(_WORD.findall(text))
        return next((tag for word, tag in self.hidden.items() if word not in words), None)


def hide(source: str) -> Tags:
    """Replace each tag by a word, and drop comments.

    Raises:
        SourceError: a tag does not end.
    """
    if _MARK in source:
        raise SourceError(f"the word {_MARK} is kept for ourselves")
    parts: list[str] = []
    hidden: dict[str, str] = {}
    held: list[str] = []
    is_raw = is_comment = is_tag = False
    kind = "v"
    try:
        for _, part, value in _LEXER.lex(source):
            if part in _BEGIN and not is_tag:
                is_tag, is_comment, is_raw = True, part == "comment_begin", part == "raw_begin"
                kind, held = ("b" if part == "block_begin" else "v"), []
            if not is_tag:
                parts.append(value)
                continue
            held.append(value)
            if part in _END and (not is_raw or part == "raw_end"):
                is_tag = False
                if not is_comment:
                    word = f"{_MARK}{kind}{len(hidden):05}{_MARK[::-1]}"
                    hidden[word] = "".join(held)
                    parts.append(word)
    except TemplateSyntaxError as error:
        raise SourceError(str(error.message).rstrip("."), error.lineno) from error
    return Tags("".join(parts), hidden)
