"""Pages of a list: by a signed cursor, or by offset with a total where a person pages.

A cursor holds the sort key of the last row that was shown, so page 40,000 costs what page 1
does, and rows that are added or removed meanwhile neither repeat nor hide others. It is signed
and bound to the caller's workspace, path and filters, so it cannot be guessed or mixed up.

The commit-order hole: rows numbered at insert may commit in another order, so a reader that
walks upwards can pass a row that is not visible yet and never see it. An upward list (a feed)
therefore orders by `(tx, id)`, with `tx` filled by `pg_current_xact_id()`, and shows only rows
with `tx < pg_snapshot_xmin(pg_current_snapshot())`: nothing can commit below that mark any more.
A downward list starts at the newest row, so what commits later lies before its first page.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from posthouse.kernel.errors import FieldProblem, InvalidInputError
from posthouse.kernel.signing import Signer

T = TypeVar("T")
S = TypeVar("S")
Key = str | int | float | None

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class CursorError(InvalidInputError):
    """The cursor is not one of ours, or belongs to another list."""

    code: ClassVar[str] = "cursor-invalid"
    title: ClassVar[str] = "This cursor does not belong to this list"


@dataclass(frozen=True, slots=True)
class Keyset:
    """What a store needs for one page: read `limit + 1` rows after the row with key `after`."""

    limit: int
    after: tuple[Key, ...] | None = None


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = Field(description="Send it as `cursor` to read on.")


@dataclass(frozen=True, slots=True)
class Paging:
    """The paging of one request, from its query: `keyset` for the store, `page` for the answer."""

    keyset: Keyset
    list_name: str
    signer: Signer
    request: Request
    response: Response

    def page(
        self, rows: Sequence[S], *, key: Callable[[S], tuple[Key, ...]], show: Callable[[S], T]
    ) -> Page[T]:
        """Make the page of up to `limit + 1` rows; the row too many says that there is more."""
        shown = rows[: self.keyset.limit]
        if len(rows) <= self.keyset.limit:
            return Page(items=[show(row) for row in shown], next_cursor=None)
        payload = json.dumps(
            [self.list_name, *key(shown[-1])], separators=(",", ":"), ensure_ascii=False
        )
        cursor = self.signer.seal(payload.encode())
        url = self.request.url.include_query_params(cursor=cursor)
        self.response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return Page(items=[show(row) for row in shown], next_cursor=cursor)


def read_cursor(signer: Signer, list_name: str, cursor: str) -> tuple[Key, ...]:
    """Read the key out of a cursor of this list.

    Raises:
        CursorError: it was changed, or was given out for another list or other filters.
    """
    payload = signer.unseal(cursor)
    name, *key = json.loads(payload) if payload else [None]
    if name != list_name:
        raise CursorError(
            "Start again without a cursor.",
            fields=[FieldProblem("query.cursor", "cursor-invalid", "not a cursor of this list")],
        )
    return tuple(key)


def paging(
    request: Request,
    response: Response,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many items to show at most.")
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=3072, description="`next_cursor` of the page before.")
    ] = None,
) -> Paging:
    """Read `limit` and `cursor`; for `Depends`."""
    filters = sorted(
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in {"limit", "cursor"}
    )
    list_name = f"{request.state.principal.workspace_id}{request.url.path.rstrip('/')}{filters}"
    signer: Signer = request.app.state.cursor_signer
    after = None if cursor is None else read_cursor(signer, list_name, cursor)
    return Paging(Keyset(limit, after), list_name, signer, request, response)


PagingDep = Annotated[Paging, Depends(paging)]


class CountedPage(BaseModel, Generic[T]):
    """One page by offset; `total` is counted only when it is asked for."""

    items: list[T]
    has_more: bool
    total: int | None


@dataclass(frozen=True, slots=True)
class Offset:
    """Rows to skip and to show, bounded so that no page is expensive."""

    skip: int
    limit: int
    with_total: bool


def offset(
    skip: Annotated[int, Query(ge=0, le=10_000, description="How many items to pass over.")] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many items to show at most.")
    ] = DEFAULT_LIMIT,
    total: Annotated[bool, Query(description="Count all items too; it costs a scan.")] = False,
) -> Offset:
    """Read `skip`, `limit` and `total`; for `Depends`."""
    return Offset(skip, limit, total)


OffsetDep = Annotated[Offset, Depends(offset)]
