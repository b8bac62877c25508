"""PDFs are shown and read page by page; those that are damaged or locked are refused."""

import json
from pathlib import Path
from typing import Any

import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
import pytest
from PIL import Image

from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.media.jobs import Workshop
from tests.files.media.pictures import pixel

PDF = "application/pdf"


def pdf(
    *pages: str, size: tuple[float, float] = (300, 400), locked: str = "", script: str = ""
) -> bytes:
    """One line of text a page, under a red field in the corner."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    encrypt = StandardEncryption(locked) if locked else None
    canvas: Any = Canvas("", pagesize=size, invariant=1, encrypt=encrypt)
    canvas.setTitle("Größe of things")
    if script:
        from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFName, PDFString

        action = PDFDictionary({"S": PDFName("JavaScript"), "JS": PDFString(script)})
        canvas._doc.Catalog.OpenAction = action
    for text in pages:
        canvas.setFillColorRGB(1, 0, 0)
        canvas.rect(0, size[1] - 100, 100, 100, stroke=0, fill=1)
        canvas.setFillColorRGB(0, 0, 0)
        canvas.drawString(20, 20, text)
        canvas.showPage()
    return canvas.getpdfdata()


def with_form(value: str) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas("", pagesize=(300, 400), invariant=1)
    canvas.acroForm.textfield(name="field", value=value, x=20, y=300, width=200, height=40)
    canvas.showPage()
    return canvas.getpdfdata()


@pytest.mark.parametrize("made", ["png", "jpeg", "webp"])
def test_a_thumbnail_shows_the_page(workshop: Workshop, made: str) -> None:
    source = pdf("one", "two", size=(300, 450))
    output = workshop.run("document.thumbnail", source, PDF, page=2, width=201, format=made)
    expected = {"width": 201, "height": output.facts["height"], "format": made, "alpha": False}
    assert output.facts == expected | {"pages": 2}
    assert output.facts["height"] in {301, 302}
    with Image.open(output.path) as image:
        assert image.format == made.upper()
        assert image.size == (201, output.facts["height"])
        assert pixel(image.convert("RGB"), (20, 20)) == pytest.approx((255, 0, 0), abs=6)
        assert pixel(image.convert("RGB"), (190, 280)) == pytest.approx((255, 255, 255), abs=3)


@pytest.mark.parametrize("width", [16, 17, 333, 1024])
def test_a_thumbnail_is_exactly_as_wide_as_asked(workshop: Workshop, width: int) -> None:
    output = workshop.run("document.thumbnail", pdf("x", size=(595.28, 841.89)), PDF, width=width)
    assert output.facts["width"] == width


def test_forms_are_shown(workshop: Workshop) -> None:
    empty, filled = (
        workshop.run("document.thumbnail", with_form(value), PDF).path.read_bytes()
        for value in ("", "filled in by hand")
    )
    assert empty != filled


def test_scripts_do_not_run(workshop: Workshop) -> None:
    scripted = workshop.run("document.thumbnail", pdf("x", script="app.alert(1)"), PDF)
    plain = workshop.run("document.thumbnail", pdf("x"), PDF)
    assert scripted.path.read_bytes() == plain.path.read_bytes()
    assert "V8" not in pypdfium2.PDFIUM_INFO.flags


def test_a_page_beyond_all_bounds_is_refused(workshop: Workshop) -> None:
    with pytest.raises(UnsafeInputError, match="16 million pixels"):
        workshop.run("document.thumbnail", pdf("x", size=(10, 14_000)), PDF, width=200)
    with pytest.raises(UnsafeInputError, match="16 million pixels"):
        workshop.run("document.thumbnail", pdf("x"), PDF, width=4000)


def test_a_page_that_is_not_there_is_refused(workshop: Workshop) -> None:
    with pytest.raises(BadInputError, match=r"2 page\(s\), but no page 3"):
        workshop.run("document.thumbnail", pdf("a", "b"), PDF, page=3)


@pytest.mark.parametrize("use", ["document.thumbnail", "document.text"])
def test_a_locked_pdf_is_refused(workshop: Workshop, use: str) -> None:
    with pytest.raises(BadInputError, match="password"):
        workshop.run(use, pdf("secret", locked="open sesame"), PDF)


@pytest.mark.parametrize("use", ["document.thumbnail", "document.text"])
@pytest.mark.parametrize("source", [b"", b"%PDF-1.7\n", b"text", pdf("x")[:300], b"\x89PNG\r\n"])
def test_what_is_no_pdf_is_refused(workshop: Workshop, use: str, source: bytes) -> None:
    with pytest.raises(BadInputError, match=r"cannot be read|no pages") as raised:
        workshop.run(use, source, PDF)
    assert str(workshop.folder) not in str(raised.value)


@pytest.mark.parametrize("use", ["document.thumbnail", "document.text"])
def test_a_damaged_pdf_never_shows_an_engines_error(workshop: Workshop, use: str) -> None:
    whole = bytearray(pdf("one", "two"))
    told = 0
    for at in range(9, len(whole), max(1, len(whole) // 60)):
        damaged = bytes(whole[:at] + b"\xff\x00" + whole[at + 2 :])
        try:
            told += workshop.run(use, damaged, PDF).facts["pages"]
        except BadInputError:
            continue
    assert told > 0


def test_text_is_read_page_by_page(workshop: Workshop) -> None:
    source = pdf("first page", "second page")
    output = workshop.run("document.text", source, PDF)
    assert output.path.read_text("utf-8") == "first page\fsecond page"
    assert output.facts == {
        "pages": 2,
        "characters": 21,
        "title": "Größe of things",
        "is_cut": False,
    }
    told = json.loads(workshop.run("document.text", source, PDF, format="json").path.read_text())
    assert told == {
        "title": "Größe of things",
        "pages": [{"page": 1, "text": "first page"}, {"page": 2, "text": "second page"}],
    }


def test_text_beyond_the_bounds_is_cut_and_said_so(workshop: Workshop) -> None:
    source = pdf("first page", "second page", "third page")
    output = workshop.run("document.text", source, PDF, max_pages=2)
    assert output.path.read_text() == "first page\fsecond page"
    assert output.facts["is_cut"]
    output = workshop.run("document.text", source, PDF, max_characters=13)
    assert output.path.read_text() == "first page\fsec"
    assert (output.facts["characters"], output.facts["is_cut"]) == (13, True)
    output = workshop.run("document.text", source, PDF, max_characters=31)
    assert (output.facts["characters"], output.facts["is_cut"]) == (31, False)


def test_text_of_our_own_documents_is_unicode(workshop: Workshop, tmp_path: Path) -> None:
    body = "a,b\nЯдл,Größe Łódź Москва\n".encode()
    made = workshop.run("document.table", body, "text/csv")
    text = workshop.run("document.text", made.path, PDF).path.read_text("utf-8")
    assert "Ядл Größe Łódź Москва" in text


def test_one_page_too_many_is_refused(workshop: Workshop) -> None:
    document = pypdfium2.PdfDocument.new()
    for _ in range(10_001):
        document.new_page(10, 10)
    path = workshop.folder / "long.pdf"
    document.save(str(path))
    document.close()
    with pytest.raises(UnsafeInputError, match="10,001 pages"):
        workshop.run("document.text", path, PDF)
