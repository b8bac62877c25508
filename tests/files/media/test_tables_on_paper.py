"""A table of any size becomes pages that people can read, and cells stay what they were."""

import json
from pathlib import Path

import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.document_fonts import NORMAL, Lettering
from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.media.jobs import Workshop

CSV, JSON, NDJSON = "text/csv", "application/json", "application/x-ndjson"


def pages_of(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(str(path))
    pages = [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document]
    document.close()
    return pages


def size_of(path: Path) -> tuple[float, float]:
    document = pypdfium2.PdfDocument(str(path))
    size = document[0].get_size()
    document.close()
    return size


def ends_of(path: Path, text: str) -> list[tuple[float, float]]:
    """Where each appearance of the text begins and ends on the first page."""
    document = pypdfium2.PdfDocument(str(path))
    page = document[0].get_textpage()
    searcher = page.search(text)
    found = []
    while (hit := searcher.get_next()) is not None:
        start, count = hit
        found.append((page.get_charbox(start)[0], page.get_charbox(start + count - 1)[2]))
    document.close()
    return found


def test_every_row_is_there_under_a_repeated_header(workshop: Workshop) -> None:
    rows = "".join(f"row-{n},{n * 7},Ünï\n" for n in range(500))
    output = workshop.run(
        "document.table", ("name,count,city\n" + rows).encode(), CSV, title="All of them"
    )
    pages = pages_of(output.path)
    assert len(pages) == output.facts["pages"] > 5
    assert output.facts["rows"] == 500
    assert output.facts["missing_glyphs"] == 0
    assert all("name count city" in page for page in pages)
    assert [
        f"{n} of {len(pages)}" in " ".join(page.split()) for n, page in enumerate(pages, 1)
    ] == [True] * len(pages)
    words = " ".join(pages).split()
    assert all(f"row-{n}" in words for n in range(500))
    assert pages[0].startswith("All of them")
    assert "All of them" not in pages[1]


def test_the_same_rows_give_the_same_bytes(workshop: Workshop) -> None:
    made = [workshop.run("document.table", b"a,b\n1,2\n", CSV).path.read_bytes() for _ in range(2)]
    assert made[0] == made[1]


def test_cells_are_never_markup(workshop: Workshop) -> None:
    cells = ["<b>x</b>", "&amp;", "<font color='red'>r</font>", "a) Tj ET (", "\\050", "%PDF"]
    source = json.dumps([{"cell": cell} for cell in cells]).encode()
    text = pages_of(workshop.run("document.table", source, JSON).path)[0]
    for cell in cells:
        assert cell in text


def test_the_three_kinds_of_files_give_the_same_pages(workshop: Workshop) -> None:
    rows = [{"a": "x", "b": 1}, {"a": "y,z", "b": 2}]
    sources = {
        CSV: b'\xef\xbb\xbfa,b\r\nx,1\r\n\r\n"y,z",2\r\n',
        JSON: json.dumps(rows).encode(),
        NDJSON: b"\n\n".join(json.dumps(row).encode() for row in rows),
    }
    made = {
        workshop.run("document.table", body, kind).path.read_bytes()
        for kind, body in sources.items()
    }
    assert len(made) == 1


def test_json_values_are_shown_as_they_are_written(workshop: Workshop) -> None:
    source = b'[{"a":true,"b":null},{"a":{"k":[1,2]},"c":12345678901234567890}]'
    output = workshop.run("document.table", source, JSON)
    text = pages_of(output.path)[0]
    assert output.facts["columns"] == 3
    for said in ("true", '{"k": [1, 2]}', "12345678901234567890"):
        assert said in text
    assert "null" not in text


def test_numbers_stand_right_and_text_left(workshop: Workshop) -> None:
    source = b"word,number,zip\nqq,7.00,01234\nqqqq,-12345.00,99999\n"
    path = workshop.run("document.table", source, CSV).path
    ends = [ends_of(path, text)[0][1] for text in ("7.00", "12345.00")]
    assert ends[0] == pytest.approx(ends[1], abs=1)
    starts = [ends_of(path, text)[0][0] for text in ("01234", "99999")]
    assert starts[0] == pytest.approx(starts[1], abs=1)  # a code, not a number


def test_columns_are_chosen_named_and_placed(workshop: Workshop) -> None:
    columns = [
        {"name": "b", "title": "Second", "align": "left", "width": 30},
        {"name": "a", "align": "right"},
    ]
    source = b"a,b,secret\n1,2222,3\n11,22,3\n"
    output = workshop.run("document.table", source, CSV, columns=columns)
    text = pages_of(output.path)[0]
    assert text.startswith("Second a\n2222 1\n22 11")
    assert "secret" not in text
    starts = [start for start, _ in ends_of(output.path, "22")]
    assert starts[0] == pytest.approx(starts[-1], abs=1)


def test_many_columns_lie_on_their_side(workshop: Workshop) -> None:
    for count, is_landscape in ((6, False), (7, True), (40, True)):
        names = ",".join(f"c{n}" for n in range(count))
        across, down = size_of(
            workshop.run("document.table", f"{names}\n{names}\n".encode(), CSV).path
        )
        assert (across > down) == is_landscape


def test_long_cells_are_wrapped_and_endless_ones_cut(workshop: Workshop) -> None:
    words = " ".join(f"w{n}" for n in range(400))
    source = json.dumps([{"a": words, "b": "x" * 3000, "c": "one\ntwo"}] * 3).encode()
    output = workshop.run("document.table", source, JSON)
    text = " ".join(" ".join(pages_of(output.path)).split())
    assert output.facts["cut_cells"] == 0
    assert all(f"w{n} " in text for n in range(0, 390, 30))
    endless = workshop.run("document.table", json.dumps([{"a": "y " * 60_000}]).encode(), JSON)
    assert endless.facts["cut_cells"] == 1
    assert "…" in pages_of(endless.path)[0]


def test_what_the_font_has_not_is_a_box_and_is_counted(workshop: Workshop) -> None:
    source = "name,other\n北京,Ελληνικά Русский עברית\n🦄,\u200bok\x07\n".encode()
    output = workshop.run("document.table", source, CSV)
    text = pages_of(output.path)[0]
    assert output.facts["missing_glyphs"] == 3
    assert text.count("□") == 3
    assert "Ελληνικά Русский" in text
    assert "ok" in text


@given(st.text(max_size=300), st.floats(10, 200))
@settings(max_examples=150, deadline=None)
def test_wrapping_loses_nothing_and_keeps_the_width(text: str, room: float) -> None:
    letters = Lettering(NORMAL, 8)
    clean = letters.clean(text)
    lines = letters.wrapped(clean, room)
    assert all(width <= room + 0.001 or len(line) <= 1 for line, width in lines)
    assert all(width == pytest.approx(letters.width(line)) for line, width in lines)
    kept = "".join(line for line, _ in lines)
    assert kept.replace(" ", "") == clean.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(
    ("media_type", "body", "said"),
    [
        (CSV, b"", "no columns"),
        (CSV, b"a,b\n1,2\n1,2,3\n", "Line 3 has 3 cells, but the header has 2"),
        (CSV, b'a,b\n"1,2\n', "cannot be read"),
        (CSV, b"a,b\n\xff,1\n", "not UTF-8"),
        (CSV, b"a\n" + b"x" * 200_000, "cannot be read"),
        (JSON, b'{"a":1}', "not an array"),
        (JSON, b"[1]", "Row 1 is not a JSON object"),
        (JSON, b"[]", "no columns"),
        (JSON, b"[{", "not JSON"),
        (NDJSON, b'{"a":1}\n{"a":\n', "Line 2 is not JSON"),
        (NDJSON, b"[1]\n", "Row 1 is not"),
        (NDJSON, b"\n\n", "no columns"),
    ],
)
def test_what_is_no_table_is_refused(
    workshop: Workshop, media_type: str, body: bytes, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        workshop.run("document.table", body, media_type)


def test_a_table_beyond_its_bounds_is_refused(workshop: Workshop) -> None:
    with pytest.raises(UnsafeInputError, match="50,000 rows"):
        workshop.run("document.table", b"a\n" + b"1\n" * 50_001, CSV)
    with pytest.raises(UnsafeInputError, match="40 columns"):
        workshop.run("document.table", b",".join([b"a"] * 41), CSV)
    wide = {f"c{n}": n for n in range(50)}
    with pytest.raises(UnsafeInputError, match="40 columns"):
        workshop.run("document.table", json.dumps([wide]).encode(), JSON)


def test_columns_that_are_not_there_or_do_not_fit_are_refused(workshop: Workshop) -> None:
    with pytest.raises(BadInputError, match="no column `z`; there are: a, b"):
        workshop.run("document.table", b"a,b\n1,2\n", CSV, columns=[{"name": "z"}])
    columns = [{"name": "a", "width": 180}, {"name": "b", "width": 100}]
    with pytest.raises(BadInputError, match="280 mm"):
        workshop.run("document.table", b"a,b\n1,2\n", CSV, columns=columns)


def test_a_table_without_rows_is_its_header(workshop: Workshop) -> None:
    output = workshop.run("document.table", b"a;b\n", CSV, delimiter=";", paper="letter")
    assert (output.facts["rows"], output.facts["pages"]) == (0, 1)
    assert pages_of(output.path)[0].startswith("a b")


def test_progress_is_told(workshop: Workshop) -> None:
    job = workshop.job("document.table", b"a\n" + b"1\n" * 2500, CSV)
    told: list[tuple[int, int | None, str]] = []
    object.__setattr__(job, "tell", lambda *what: told.append(what))
    PROCESSORS["document.table"].run(job)
    assert [done for done, _, _ in told] == [1000, 2000]
    assert {total for _, total, _ in told} == {2500}


@pytest.mark.parametrize(
    "options",
    [
        {"columns": []},
        {"columns": [{"title": "a"}]},
        {"columns": [{"name": "a", "width": 1}]},
        {"columns": [{"name": "a", "colour": "red"}]},
        {"delimiter": "::"},
        {"title": "x" * 201},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PROCESSORS["document.table"].options.model_validate(options)
