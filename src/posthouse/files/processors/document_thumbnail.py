"""`document.thumbnail`: a picture of a page of a PDF."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from posthouse.files.processors import document_pages, image_loading, image_saving
from posthouse.files.processors.protocol import (
    MIB,
    BadInputError,
    Job,
    Output,
    Processor,
    Promised,
    StepLimits,
    StepOptions,
    UnsafeInputError,
)

MAX_PIXELS = 16_000_000
"""Of the picture: an A4 page at 400 dpi. A page itself may be 14,400 times as high as wide."""


class DocumentThumbnailOptions(StepOptions):
    """Which page, how wide, and how it is written."""

    page: Annotated[int, Field(ge=1, le=document_pages.MAX_PAGES)] = Field(
        1, description="Number of the page, from 1 on."
    )
    width: Annotated[int, Field(ge=16, le=4096)] = Field(
        320, description="Width of the picture in pixels; its height follows the page."
    )
    format: Literal["png", "jpeg", "webp"] = Field("png", description="Format of the picture.")
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="1 to 100; else 80. PNG has none."
    )


def run(job: Job) -> Sequence[Output]:
    """Make the one picture.

    Raises:
        BadInputError: the PDF is damaged or protected, or has no such page.
        UnsafeInputError: the picture would have too many pixels.
    """
    options: DocumentThumbnailOptions = job.options
    with document_pages.opened(job.source) as document:
        document.init_forms()
        with document_pages.page_of(document, options.page) as page:
            image = _drawn(page, options.width)
            output = image_saving.save(image, job.folder, options.format, quality=options.quality)
        facts = {**output.facts, "pages": len(document)}
    return [Output(output.path, output.media_type, output.extension, facts=facts)]


def _drawn(page: Any, width: int) -> Any:
    """The page as an image of libvips, exactly `width` pixels wide.

    Raises:
        BadInputError: the page has no size.
        UnsafeInputError: it would have too many pixels.
    """
    across, down = page.get_size()
    if not (across > 0 and down > 0):
        raise BadInputError("The page has no size.")
    if width * max(1.0, width * down / across) > MAX_PIXELS:
        raise UnsafeInputError(
            f"The page is {across:.0f} x {down:.0f} points: a picture {width} pixels wide would "
            f"have more than {MAX_PIXELS // 1_000_000} million pixels."
        )
    # A hair less, because PDFium's binding rounds up.
    bitmap = page.render(scale=(width - 0.001) / across, rev_byteorder=True, prefer_bgrx=True)
    vips = image_loading.engine()
    row = bytes(bitmap.buffer)
    image = vips.Image.new_from_memory(row, bitmap.stride // 4, bitmap.height, 4, "uchar")
    image = image.crop(0, 0, bitmap.width, bitmap.height)
    return image.extract_band(0, n=3).copy(interpretation="srgb")


def promise(options: DocumentThumbnailOptions, media_type: str) -> list[Promised]:
    """Tell the one picture."""
    del media_type
    return image_saving.promised(options.format)


def engines() -> dict[str, str]:
    """The versions of PDFium and libvips."""
    return document_pages.engines() | image_loading.engines()


PROCESSOR = Processor(
    name="document.thumbnail",
    summary="A picture of a page of a PDF.",
    version=1,
    options=DocumentThumbnailOptions,
    takes=frozenset({"application/pdf"}),
    run=run,
    promise=promise,
    engines=engines,
    limits=StepLimits(memory_bytes=1024 * MIB, cpu_s=30, wall_s=60.0, written_bytes=256 * MIB),
    preload=("pypdfium2", "pyvips"),
)
