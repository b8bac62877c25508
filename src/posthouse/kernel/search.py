"""Searching: what a person types, as patterns and a score for the database.

A table that can be searched has `workspace_id`, an `id` that grows with time, and a column
`search`: its text in lower case, with a trigram index. `docs/decisions/0010-search.md` has the
measurements behind the statements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Tx

# Of a word that more rows have, the newest are ranked: to rank 400,000 takes seconds.
RANKED = 500
# What pg_trgm calls similar: its own 0.6 does not find `keyboard` for `keybaord`.
LIKENESS = 0.4
_WORDS = 4
_SHORTEST = 3

# A generic plan would not use the trigram index, and for a word that it takes for common the
# planner might read the whole table.
_PLAN = f"""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
  set_config('enable_seqscan', 'off', true),
  set_config('pg_trgm.word_similarity_threshold', '{LIKENESS}', true)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched: rows that have the words of `text`, or with `is_fuzzy` ones like them.

    Only rows below the place (`score`, `after_id`) are wanted, best first; `after_id` None is
    above all rows of that score, and `score` None is above all.
    """

    text: str
    limit: int
    is_fuzzy: bool = False
    score: int | None = None
    after_id: Any = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found; a score of 1000 is the best."""

    id: Any
    name: str
    score: int


@dataclass(frozen=True, slots=True)
class Statements:
    """How one table is searched: by words, and by likeness if nobody has the words."""

    by_words: str
    by_likeness: str


def pattern(text: str) -> str:
    r"""The LIKE pattern that finds `text` anywhere, with `\\` to escape what LIKE means itself.

    The searched column is in lower case.
    """
    literal = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{literal}%"


def patterns(text: str) -> tuple[str, ...]:
    """The four patterns that a row has to match, `%` where there is no word.

    Of more than four words the longest count. A word of one or two letters has no trigram of its
    own and is found where a word begins.
    """
    words = sorted(set(text.lower().split()), key=lambda word: (-len(word), word))[:_WORDS]
    found = [
        f"% {word}%" if len(word) < _SHORTEST and word.isalnum() else pattern(word)
        for word in words
    ]
    return (*found, *["%"] * (_WORDS - len(found)))


def has_likeness(text: str) -> bool:
    """Whether anything can be like a text: signs alone have no trigrams to compare."""
    return any(character.isalnum() for character in text)


def by_words(table: str, id_type: str, name: str) -> str:
    """The statement that ranks the newest rows that have all words; `name` is an SQL expression."""
    matching = " AND ".join(f"search LIKE ${n} ESCAPE '\\'" for n in range(6, 6 + _WORDS))
    return _ranked(table, id_type, name, f"{matching} ORDER BY id DESC")


def by_likeness(table: str, id_type: str, name: str) -> str:
    """The statement that ranks rows that have something like the text, misspelt words too."""
    return _ranked(table, id_type, name, "search %> $2")


def _ranked(table: str, id_type: str, name: str, matching: str) -> str:
    return f"""
WITH hits AS (
  SELECT id, {name} AS name, search FROM {table}
  WHERE workspace_id = $1 AND state <> 'deleted' AND {matching} LIMIT {RANKED}
), ranked AS (
  SELECT id, name,
    round(700 * word_similarity($2, search) + 300 * similarity($2, name))::int AS score FROM hits
)
SELECT id, name, score FROM ranked
WHERE $3::int IS NULL OR score < $3 OR (score = $3 AND id > $4::{id_type})
ORDER BY score DESC, id LIMIT $5
"""  # noqa: S608  from constants; tests/house prepares each


async def find(tx: Tx, statements: Statements, workspace_id: UUID, wanted: Wanted) -> Sequence[Hit]:
    """Search one table; best first, and older first of those that are alike."""
    await tx.execute(_PLAN)
    place = (workspace_id, wanted.text, wanted.score, wanted.after_id, wanted.limit)
    if wanted.is_fuzzy:
        rows = await tx.fetch(statements.by_likeness, *place)
    else:
        rows = await tx.fetch(statements.by_words, *place, *patterns(wanted.text))
    return [Hit(**dict(row)) for row in rows]
