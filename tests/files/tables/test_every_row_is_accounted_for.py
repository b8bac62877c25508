"""Whatever a file holds, each record of it is a row of the result or a reject with a reason."""

import csv
import io
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.tables.make import CSV, JSON, NDJSON, PARQUET, convert

SLOW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUOTINGS = [csv.QUOTE_ALL, csv.QUOTE_MINIMAL]
LETTERS = st.text(st.sampled_from("ab019 ,;\t|\"'.-+=e\n\u00e9\u00fc"), max_size=8)


@st.composite
def tables(draw: Any) -> tuple[list[list[str]], dict[str, Any], bytes]:
    width = draw(st.integers(2, 5))
    rows = draw(st.lists(st.lists(LETTERS, min_size=width, max_size=width), min_size=1, max_size=9))
    rows = [["x", *row] for row in rows]
    delimiter = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    file = io.StringIO(newline="")
    writer = csv.writer(
        file,
        delimiter=delimiter,
        lineterminator=end,
        # With CR for a line end, the module leaves an LF in a cell without quotes.
        quoting=csv.QUOTE_ALL if end == "\r" else draw(st.sampled_from(QUOTINGS)),
    )
    writer.writerow([f"c{index}" for index in range(width + 1)])
    writer.writerows(rows)
    options: dict[str, Any] = {"delimiter": delimiter, "quote": '"', "header": True}
    if encoding == "cp1252":
        options["encoding"] = encoding
    return rows, options, file.getvalue().encode(encoding)


@SLOW
@given(tables())
def test_what_the_csv_module_wrote_comes_back_cell_by_cell(
    table: tuple[list[list[str]], dict[str, Any], bytes],
) -> None:
    rows, options, content = table
    types = {f"c{index}": "text" for index in range(len(rows[0]))}
    made = convert(content, types=types, **options)
    assert [list(row.values()) for row in made.json] == rows


@SLOW
@given(tables(), st.data())
def test_a_damaged_file_loses_no_record_silently(
    table: tuple[list[list[str]], dict[str, Any], bytes], data: Any
) -> None:
    _, options, content = table
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        junk = data.draw(st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"", b'""']))
        content = content[:at] + junk + content[at + data.draw(st.integers(0, 3)) :]
    # `convert` asserts the balance; a file that is beyond reading may be refused in words.
    with suppress(BadInputError, UnsafeInputError):
        convert(content, to="ndjson", **options)


@SLOW
@given(st.lists(st.sampled_from(
    ["1,2", '"a","b"', ' "a", "b"', '"a" ,2', "1", "1,2,3", "1,2,,", '"a\nb",1', 'x"y,1', "007,1",
     "1.5,x", "", '"a"b,1']
), min_size=1, max_size=12))  # fmt: skip
def test_the_plain_and_the_exact_way_read_a_file_alike(lines: list[str]) -> None:
    content = ("h,i\n1,2\n" + "\n".join(lines) + "\n").encode()
    options: dict[str, Any] = {"delimiter": ",", "quote": '"', "header": True, "preamble_lines": 0}
    plain = convert(content, to="ndjson", **options)
    exact = convert(content + b"\r", to="ndjson", **options)  # a mixed line end
    assert plain.text == exact.text
    if plain.facts["rejects"]:
        assert plain.rows("rejects") == exact.rows("rejects")


def test_a_change_of_type_after_many_rows_loses_none() -> None:
    content = b"n,s\n" + b"".join(b"%d,x\n" % number for number in range(60_000)) + b"oops,y\n"
    made = convert(content, to="csv")
    assert made.facts["rows_out"] == 60_001
    assert made.types["n"] == "text"
    assert made.text.splitlines()[-1] == "oops,y"


def test_an_unclosed_quote_costs_one_line() -> None:
    made = convert(b'a,b\n1,"x\n' + b"2,y\n" * 1000)
    assert made.facts["rows_out"] == 1000
    assert made.rows("rejects") == [
        {"line": "2", "byte_offset": "4", "column": "", "reason": "unclosed-quote", "raw": '1,"x'}
    ]


def test_ragged_rows_are_rejected_with_their_place() -> None:
    made = convert(b"a,b\r\n1,2\r\n3\r\n4,5,6\r\n7,8\r\n")
    assert made.json == [{"a": 1, "b": 2}, {"a": 7, "b": 8}]
    assert [(one["line"], one["byte_offset"], one["reason"], one["raw"])
            for one in made.rows("rejects")] == [
        ("3", "10", "too-few-cells", "3"), ("4", "13", "too-many-cells", "4,5,6"),
    ]  # fmt: skip


def test_a_row_that_misses_an_asked_type_is_rejected() -> None:
    made = convert(b"a,b\n1,x\nno,y\n007,z\n", types={"a": "integer"})
    assert made.json == [{"a": 1, "b": "x"}, {"a": 7, "b": "z"}]
    assert [(one["line"], one["column"], one["reason"]) for one in made.rows("rejects")] == [
        ("3", "a", "wrong-type")
    ]


def test_blank_lines_are_no_records() -> None:
    assert convert(b"a\n1\n\n2\n\n").facts["rows_in"] == 2
    assert convert(b"a,b\n\n1,2\n\n\n3,4\n").facts["rows_in"] == 2


def test_lines_of_json_that_are_none_are_rejected() -> None:
    made = convert(b'{"a":1}\n\n{"a":\n[1]\n{"a":2,"a":3}\n{"a":4}', NDJSON)
    assert made.json == [{"a": 1}, {"a": 4}]
    assert [one["reason"] for one in made.rows("rejects")] == [
        "invalid-json", "not-an-object", "repeated-name",
    ]  # fmt: skip


def test_parquet_comes_back_as_it_went() -> None:
    first = convert(b"zip,n,day\n01234,1.50,2026-01-02\n00001,2.25,2026-01-03\n", to="parquet")
    made = convert(first.outputs[""].path.read_bytes(), PARQUET, to="csv")
    assert made.text == "zip,n,day\n01234,1.50,2026-01-02\n00001,2.25,2026-01-03\n"
    assert made.facts["rows_in"] == 2


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", CSV),
        (b"\n\n", CSV),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "text/plain"),
        (b"PAR1" + b"\xff" * 40 + b"\x08\0\0\0PAR1", PARQUET),
        (b"nothing", PARQUET),
        (b'[{"a":1},{"a"', JSON),
        (b'[{"a":1}] tail', JSON),
        (b"[1,2]", JSON),
        (b"\xff\xfea\0,\0b", CSV),
    ],
)
def test_what_is_no_table_is_refused_in_words(content: bytes, media_type: str) -> None:
    if content.startswith(b"\xff\xfea"):
        content += b"\0\n\0\x00\xd8\n\0"  # half of a surrogate pair
    with pytest.raises(BadInputError, match=r"\w+ \w+") as refused:
        convert(content, media_type)
    assert "/source" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"," * 1_000_000 + b"\n",
        b"a,b\n" + b"1,2\n" * 100_000 + b"x," * 500_000 + b"\n",
        b",".join(b"c%d" % number for number in range(100_000)) + b"\n",
        b"a,b\n1," + b"x" * 50_000_000 + b"\n",
        b"a,b\n" + b"1,2\n" * 200_000 + b'1,"' + b"x" * 5_000_000 + b'"\n',
    ],
    ids=["a million columns", "later", "100,000 columns", "50 MB in a cell", "5 MB later"],
)
def test_what_is_too_wide_is_refused(content: bytes) -> None:
    with pytest.raises(UnsafeInputError, match=r"line [0-9]+"):
        convert(content)


def test_nested_json_stays_nested() -> None:
    content = json.dumps([{"a": [1, {"b": None}], "c": "x"}, {"c": "", "d": True}]).encode()
    assert convert(content, JSON).json == [
        {"a": [1, {"b": None}], "c": "x", "d": None},
        {"a": None, "c": "", "d": True},
    ]
