"""`document.text`: what a PDF says, as text or page by page as JSON."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from posthouse.files.processors import document_pages
from posthouse.files.processors.protocol import (
    MIB,
    Job,
    Output,
    Processor,
    Promised,
    StepLimits,
    StepOptions,
)

MAX_CHARACTERS = 10_000_000
_MEDIA_TYPES = {"text": ("text/plain", "txt"), "json": ("application/json", "json")}
_SOME_PAGES = 50


class DocumentTextOptions(StepOptions):
    """How the text is written, and how much of it."""

    format: Literal["text", "json"] = Field(
        "text",
        description=(
            "`text` puts a form feed between pages; `json` is an object with `title` and `pages`, "
            "each with `page` and `text`."
        ),
    )
    max_pages: Annotated[int, Field(ge=1, le=document_pages.MAX_PAGES)] = Field(
        1000, description="Pages after that are not read."
    )
    max_characters: Annotated[int, Field(ge=1, le=MAX_CHARACTERS)] = Field(
        2_000_000, description="Text after that is cut off."
    )


def run(job: Job) -> Sequence[Output]:
    """Write the text; the fact `is_cut` tells whether a bound was met.

    Raises:
        BadInputError: the PDF is damaged or protected.
        UnsafeInputError: it is too large.
    """
    options: DocumentTextOptions = job.options
    found: list[str] = []
    with document_pages.opened(job.source) as document:
        pages = len(document)
        title = _title(document)
        left = options.max_characters
        is_cut = pages > options.max_pages
        for number in range(1, min(pages, options.max_pages) + 1):
            text, is_whole = _text_of(document, number, left)
            found.append(text)
            left -= len(text)
            if not is_whole:
                is_cut = True
                break
            if number % _SOME_PAGES == 0:
                job.tell(number, pages, "pages read")
    media_type, extension = _MEDIA_TYPES[options.format]
    path = job.folder / f"text.{extension}"
    path.write_text(_written(found, title, options.format), "utf-8")
    facts = {
        "pages": pages,
        "characters": sum(map(len, found)),
        "title": title,
        "is_cut": is_cut,
    }
    return [Output(path, media_type, extension, facts=facts)]


def _text_of(document: Any, number: int, most: int) -> tuple[str, bool]:
    """The page's text of at most so many characters, and whether that is all."""
    with document_pages.page_of(document, number) as page:
        text_page = page.get_textpage()
        try:
            count = text_page.count_chars()
            text = text_page.get_text_range(0, min(count, most + 1)) if count else ""
        finally:
            text_page.close()
    text = _plain(text)
    return text[:most], len(text) <= most


def _plain(text: str) -> str:
    """Lines end in a line feed, and what is no character of Unicode or no text is gone."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # U+FFFE is how PDFium writes a hyphen at the end of a line.
    text = text.replace("\ufffe\n", "").replace("\ufffe", "")
    kept = "".join(one for one in text if one >= " " or one in "\n\t")
    return kept.encode("utf-8", "replace").decode("utf-8")


def _title(document: Any) -> str | None:
    title = _plain(str(document.get_metadata_value("Title"))).strip()
    return title[:500] or None


def _written(pages: Sequence[str], title: str | None, format_: str) -> str:
    if format_ == "text":
        return "\f".join(pages)
    told = [{"page": number, "text": text} for number, text in enumerate(pages, 1)]
    return json.dumps({"title": title, "pages": told}, ensure_ascii=False)


def promise(options: DocumentTextOptions, media_type: str) -> list[Promised]:
    """Tell the one file."""
    del media_type
    return [Promised("", *_MEDIA_TYPES[options.format])]


PROCESSOR = Processor(
    name="document.text",
    summary="The text of a PDF, in one piece or by page.",
    version=1,
    options=DocumentTextOptions,
    takes=frozenset({"application/pdf"}),
    run=run,
    promise=promise,
    engines=document_pages.engines,
    limits=StepLimits(memory_bytes=1024 * MIB, cpu_s=30, wall_s=60.0, written_bytes=256 * MIB),
    preload=("pypdfium2",),
)
