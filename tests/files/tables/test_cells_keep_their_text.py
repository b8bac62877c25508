"""A type is given only where it loses nothing; encodings and dialects are found."""

import json
from pathlib import Path

import pytest

from tests.files.tables.make import JSON, convert, run

SPECTRUM = Path(__file__).parents[2] / "corpora" / "csv-spectrum"


@pytest.mark.parametrize("path", sorted(SPECTRUM.glob("csvs/*.csv")), ids=lambda path: path.stem)
def test_csv_spectrum_is_read_exactly(path: Path) -> None:
    content = path.read_bytes()
    header = run("table.profile", content).json["columns"]
    types = {one["name"]: "text" for one in header}
    expected = json.loads((SPECTRUM / "json" / f"{path.stem}.json").read_bytes())
    if path.stem == "location_coordinates":  # the published answer has another number
        expected = [expected | {"Contact Phone Number": "2095257564"}]
    assert convert(content, types=types).json == expected


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["01234", "1"], "text"),
        (["+4930", "1"], "text"),
        (["1e5", "2"], "text"),
        (["1_000", "2"], "text"),
        (["1", "2"], "integer"),
        (["123456789012345678901234567890", "1"], "integer"),
        (["9" * 40, "1"], "text"),
        (["1.50", "2.25"], "decimal"),
        (["1.5", "2.25"], "number"),
        (["1.5", "123456789012345678.25"], "text"),
        (["true", "false"], "boolean"),
        (["2026-01-02", "2026-12-31"], "date"),
        (["2026-01-02", "2026-02-30"], "text"),
        (["2026-01-02 10:00:00", "2026-01-02T10:00:00.5"], "timestamp"),
        (["2026-01-02 10:00:00", "2026-01-02 10:00:00+00"], "text"),
    ],
)
def test_a_type_loses_nothing(cells: list[str], kind: str) -> None:
    for order in (cells, cells[::-1]):
        many = [order[0]] * 20_000 + order  # the second is not seen by the first look
        content = "id,v\n" + "".join(f"a{at},{cell}\n" for at, cell in enumerate(many))
        made = convert(content.encode(), to="csv")
        assert made.types["v"] == kind
        if kind not in {"timestamp", "number", "boolean"}:
            assert [row["v"] for row in made.rows("")] == many


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("a,b\n1,é\n".encode(), "utf-8"),
        ("\ufeffa,b\n1,é\n".encode(), "utf-8"),
        ("a,b\n1,é\n".encode("utf-16"), "utf-16-le"),
        ("a,b\n1,é\n".encode("utf-16-be"), "utf-16-be"),
        ("a,b\n1,é\n".encode("cp1252"), "cp1252"),
        ("a,b\n1,é\n".encode("utf-32"), "utf-32-le"),
    ],
)
def test_an_encoding_is_found(content: bytes, encoding: str) -> None:
    made = convert(content)
    assert made.json == [{"a": 1, "b": "é"}]
    assert made.facts["encoding"]["name"] == encoding


def test_one_broken_row_does_not_change_the_encoding() -> None:
    made = convert(b"a,b\n" + "é,1\n".encode() * 100 + b"\xe9,2\n")
    assert made.facts["rows_out"] == 100
    assert [one["reason"] for one in made.rows("rejects")] == ["invalid-encoding"]


@pytest.mark.parametrize(
    "content",
    [
        b"sep=;\na;b\n1;x\n",
        b"Report of May\nby me\n\na,b\n1,x\n2,y\n".replace(b"2,y\n", b""),
        b"a|b\n1|x\n",
        b"a\tb\n1\tx\n",
        b"a;b\r1;x\r",
        b"a,b\r\n1,x\n",
        b"'a';'b'\n'1';'x'\n",
    ],
)
def test_a_dialect_is_found(content: bytes) -> None:
    assert convert(content).json == [{"a": 1, "b": "x"}]


def test_columns_get_names_of_their_own() -> None:
    assert list(convert(b"a,A,,a\n1,2,3,4\n").types) == ["a", "A_2", "column_3", "a_3"]


def test_a_header_alone_is_a_table_without_rows() -> None:
    made = convert(b"a,b\n")
    assert made.json == []
    assert made.facts["rows_in"] == 0


def test_formulas_are_escaped_for_spreadsheets_only_when_asked() -> None:
    content = b"=a,b,c\n=1+1,-x,-5\n@y,\tz,6\n"
    escaped = convert(content, to="csv", escape_formulas=True).rows("")
    assert escaped == [{"'=a": "'=1+1", "b": "'-x", "c": "-5"},
                       {"'=a": "'@y", "b": "'\tz", "c": "6"}]  # fmt: skip
    assert convert(content, to="csv").rows("")[0]["=a"] == "=1+1"


def test_long_numbers_of_json_keep_their_digits() -> None:
    made = convert(b'[{"n":123456789012345678901234567890,"s":"01"},{"n":1,"s":"2"}]', JSON)
    assert made.json == [{"n": 123456789012345678901234567890, "s": "01"}, {"n": 1, "s": "2"}]
