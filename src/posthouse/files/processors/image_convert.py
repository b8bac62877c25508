"""`image.convert`: an image in another format, upright and without its metadata."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from posthouse.files.processors import image_loading, image_saving
from posthouse.files.processors.protocol import Job, Output, Processor, Promised, StepOptions


class ImageConvertOptions(StepOptions):
    """The format, and how it is written."""

    format: image_saving.Format = Field(description="Format of the result.")
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="1 to 100; else 80 for JPEG and WebP, 50 for AVIF. PNG has none."
    )
    lossless: bool = Field(
        default=False, description="Keep every pixel as it is: WebP and AVIF can, PNG always does."
    )
    background: str | None = Field(
        None,
        pattern=image_saving.COLOUR,
        description="`#rrggbb` behind what is transparent. Without it: white in JPEG, else none.",
    )

    @model_validator(mode="after")
    def check_lossless(self) -> Self:
        """Refuse a JPEG that loses nothing: there is none.

        Raises:
            ValueError: so it is.
        """
        if self.lossless and self.format == "jpeg":
            raise ValueError("JPEG always loses something; use png, webp or avif")
        return self


def run(job: Job) -> Sequence[Output]:
    """Make the one image.

    Raises:
        BadInputError: the image is broken.
        UnsafeInputError: it has too many pixels.
    """
    options: ImageConvertOptions = job.options
    header = image_loading.read_header(job)
    with image_loading.refusing_what_is_broken(image_loading.engine()):
        image = image_loading.open_upright(job, header, header.width, header.height, size="force")
        if options.background is not None and image.hasalpha():
            image = image.flatten(background=image_saving.colour(options.background))
        output = image_saving.save(
            image,
            job.folder,
            options.format,
            quality=options.quality,
            is_lossless=options.lossless,
        )
    return [output]


def promise(options: ImageConvertOptions, media_type: str) -> list[Promised]:
    """Tell the one image."""
    del media_type
    return image_saving.promised(options.format)


PROCESSOR = Processor(
    name="image.convert",
    summary="An image in another format: upright, in sRGB, without metadata.",
    version=1,
    options=ImageConvertOptions,
    takes=image_loading.IMAGE_TYPES,
    run=run,
    promise=promise,
    engines=image_loading.engines,
    limits=image_loading.IMAGE_LIMITS,
    preload=("pyvips", "posthouse.files.processors.image_warming"),
)
