"""Opens PDFs that strangers sent, by PDFium: no JavaScript, no links followed, no XFA."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from posthouse.files.processors.protocol import BadInputError, UnsafeInputError

MAX_BYTES = 256 * 1024 * 1024
MAX_PAGES = 10_000
_NEEDS_PASSWORD = 4  # FPDF_ERR_PASSWORD
_REASONS = {2: "it cannot be opened", 3: "it is damaged, or no PDF", 5: "its protection is unknown"}


def engine() -> Any:
    """PDFium. The build has no JavaScript engine, so forms run none."""
    import pypdfium2  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]  a child's library

    return pypdfium2


def engines() -> dict[str, str]:
    """The version of PDFium."""
    pdfium = engine()
    return {
        "pdfium": str(pdfium.PDFIUM_INFO.build),
        "pypdfium2": str(pdfium.PYPDFIUM_INFO.version),
    }


def count(path: Path) -> int:
    """How many pages a PDF of ours has."""
    document = engine().PdfDocument(str(path))
    try:
        return len(document)
    finally:
        document.close()


@contextmanager
def opened(path: Path) -> Generator[Any]:
    """A PDF, closed when the block is left.

    Raises:
        BadInputError: it is damaged or protected by a password.
        UnsafeInputError: it is too large, or has too many pages.
    """
    pdfium = engine()
    if path.stat().st_size > MAX_BYTES:
        raise UnsafeInputError(f"The PDF is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    try:
        document = pdfium.PdfDocument(str(path))
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == _NEEDS_PASSWORD:
            raise BadInputError("The PDF is protected by a password.") from error
        reason = _REASONS.get(code or 0, "it is damaged, or no PDF")
        raise BadInputError(f"The PDF cannot be read: {reason}.") from error
    try:
        pages = len(document)
        if pages == 0:
            raise BadInputError("The PDF has no pages.")
        if pages > MAX_PAGES:
            raise UnsafeInputError(f"The PDF has {pages:,} pages; {MAX_PAGES:,} are allowed.")
        yield document
    finally:
        document.close()


@contextmanager
def page_of(document: Any, number: int) -> Generator[Any]:
    """The page of that number, from 1 on, closed when the block is left.

    Raises:
        BadInputError: there is none, or it is damaged.
    """
    pdfium = engine()
    if number > len(document):
        raise BadInputError(f"The PDF has {len(document)} page(s), but no page {number}.")
    try:
        page = document[number - 1]
    except pdfium.PdfiumError as error:
        raise BadInputError(f"Page {number} of the PDF is damaged.") from error
    try:
        yield page
    except pdfium.PdfiumError as error:
        raise BadInputError(f"Page {number} of the PDF cannot be read.") from error
    finally:
        page.close()
