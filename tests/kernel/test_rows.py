"""Rows are read piece by piece, and where the pieces end makes no difference."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from posthouse.kernel.rows import UnreadableError, read_csv, read_json, read_ndjson
from posthouse.kernel.text import Count, Flag


class Thing(BaseModel):
    name: str
    count: Count | None = None
    is_new: Flag = False
    tags: list[str] = []


def cut(text: bytes, at: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    for start, end in itertools.pairwise(places):
        yield text[start:end]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
CUTS = st.lists(st.integers(0, 400), max_size=12)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(JSON, max_size=6), cuts=CUTS, indent=st.sampled_from([None, 1]))
def test_an_array_gives_its_values(rows: list[Any], cuts: list[int], indent: int | None) -> None:
    text = json.dumps(rows, ensure_ascii=False, indent=indent).encode()
    assert list(read_json(cut(text, cuts), Thing)) == rows


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(JSON, max_size=6), cuts=CUTS)
def test_lines_give_their_values(rows: list[Any], cuts: list[int]) -> None:
    text = "\n".join(json.dumps(row) for row in rows).encode()
    assert list(read_ndjson(cut(text, cuts), Thing)) == rows


@settings(max_examples=300, deadline=None)
@given(text=st.text('[]{},:"\\ 1an', max_size=25), cuts=CUTS)
def test_what_is_no_array_is_never_read_as_one(text: str, cuts: list[int]) -> None:
    try:
        rows = list(read_json(cut(text.encode(), cuts), Thing))
    except UnreadableError:
        rows = [UnreadableError("", "")]
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    is_whole = not any(isinstance(row, UnreadableError) for row in rows)
    if isinstance(expected, list) and is_whole:
        assert rows == expected
    elif is_whole:
        # A name twice is an array to json.loads, and a refusal here; never the other way round.
        pytest.fail(f"{text!r} was read as {rows}")


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[1", b"[1]]", b"[1][2]", b'"[1]"', b"[1] x", b"1", b"]", b"x[1]", b"[[1]"],
)
def test_a_file_that_is_not_one_array_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        list(read_json([text], Thing))


@pytest.mark.parametrize("text", [b"[1,]", b"[,1]", b"[1,,2]"])
def test_a_value_that_is_missing_is_a_problem_of_its_row(text: bytes) -> None:
    assert any(isinstance(row, UnreadableError) for row in read_json([text], Thing))


def test_a_row_that_cannot_be_read_leaves_the_others() -> None:
    rows = list(read_ndjson([b'{"a":1}\n{"a":\n\n{"a":1,"a":2}\n{"a":2}'], Thing))
    assert (rows[0], rows[3]) == ({"a": 1}, {"a": 2})
    assert all(isinstance(row, UnreadableError) for row in rows[1:3])


CSV = '\ufeffname;count;is_new;tags\r\n"Ann; ""A""\nB";007;TRUE;a|b\r\n\r\nBob;;;\r\nx;1;2;3;4\n'


@settings(max_examples=100, deadline=None)
@given(cuts=CUTS)
def test_csv_is_read_by_its_header(cuts: list[int]) -> None:
    rows = list(read_csv(cut(CSV.encode(), cuts), Thing))
    assert rows[:2] == [
        {"name": 'Ann; "A"\nB', "count": 7, "is_new": True, "tags": ["a", "b"]},
        {"name": "Bob"},
    ]
    assert isinstance(rows[2], UnreadableError)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "header-missing"),
        (b"\n\n", "header-missing"),
        (b"name,nmae\nx,y\n", "header-invalid"),
        (b"name,name\nx,y\n", "header-invalid"),
        (b'name\n"x\n', "malformed-csv"),
        (b"name\n\xff\xfe\n", "not-utf8"),
        (b"name\n" + b"x" * 2**21, "row-too-large"),
    ],
)
def test_a_file_that_is_no_csv_of_ours_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        list(read_csv([text], Thing))
    assert raised.value.code == code


@pytest.mark.parametrize("read", [read_json, read_ndjson])
def test_a_row_without_end_is_given_up(read: Any) -> None:
    pieces = [b'[{"a":"'] + [b"x" * 2**19] * 5
    with pytest.raises(UnreadableError):
        list(read(pieces, Thing))
