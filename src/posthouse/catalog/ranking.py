"""The order of what was found, in links and products together: by score, kind and id."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.catalog.model import Found, FoundKind
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.search import Hit, Wanted


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind this score, kind and id; None of them on the first page."""

    is_fuzzy: bool
    score: int | None = None
    kind: FoundKind | None = None
    id: str | None = None

    @classmethod
    def of(cls, keyset: Keyset) -> "Place":
        """The place that a cursor names."""
        if keyset.after is None:
            return cls(is_fuzzy=False)
        is_fuzzy, score, kind, shown_id = keyset.after
        return cls(bool(is_fuzzy), int(str(score)), FoundKind(str(kind)), str(shown_id))

    def wanted(self, kind: FoundKind, text: str, limit: int) -> Wanted:
        """What is left to find of one kind."""
        wanted = Wanted(text, limit, is_fuzzy=self.is_fuzzy)
        if self.score is None or self.kind is None:
            return wanted
        if kind is self.kind:
            return Wanted(text, limit, self.is_fuzzy, self.score, self.id)
        # Of the same score, a kind that comes earlier was shown and one that comes later was not.
        return Wanted(text, limit, self.is_fuzzy, self.score + (kind > self.kind))


def key_of(found: Found) -> tuple[int, int, str, str]:
    """What a cursor has to remember of the last thing that was shown."""
    return int(found.is_fuzzy), found.score, found.kind, found.id


def merge(
    links: Sequence[Hit], products: Sequence[Hit], *, is_fuzzy: bool, limit: int
) -> list[Found]:
    """The best of both. Each is in order already, so the sort keeps the order of the ids."""
    by_kind = {FoundKind.LINK: links, FoundKind.PRODUCT: products}
    found = [
        Found(kind, str(hit.id), hit.name, hit.score, is_fuzzy)
        for kind, hits in by_kind.items()
        for hit in hits
    ]
    return sorted(found, key=lambda one: (-one.score, one.kind))[:limit]
