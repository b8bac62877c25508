"""`image.resize`: an image in another size, upright and without its metadata."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from posthouse.files.processors import image_loading, image_saving
from posthouse.files.processors.image_loading import MAX_PIXELS, Header
from posthouse.files.processors.protocol import (
    Job,
    Output,
    Processor,
    Promised,
    StepOptions,
    UnsafeInputError,
)

MAX_SIDE = 16_384
_UNBOUNDED = 10_000_000  # libvips takes it for "no limit on this side"


class ImageResizeOptions(StepOptions):
    """The box, how the image goes into it, and how the result is written."""

    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = Field(
        None, description="Width of the box in pixels; with a height alone it follows the image."
    )
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = Field(
        None, description="Height of the box in pixels; with a width alone it follows the image."
    )
    fit: Literal["cover", "contain", "fill", "inside", "attention"] = Field(
        "inside",
        description=(
            "`inside` scales into the box; `contain` does and fills the box up with `background`; "
            "`cover` fills the box and crops the middle, `attention` what draws the eye; "
            "`fill` stretches. With one side given all of them scale to it."
        ),
    )
    enlarge: bool = Field(
        default=False,
        description=(
            "Whether a small image may grow. If not, the box of `cover`, `attention` and `fill` "
            "shrinks to what the image has."
        ),
    )
    background: str | None = Field(
        None,
        pattern=image_saving.COLOUR,
        description=(
            "`#rrggbb` behind `contain` and behind what is transparent. Without it: transparent, "
            "or white in JPEG."
        ),
    )
    format: image_saving.Format | None = Field(
        None, description="Format of the result; else the source's, or PNG for GIF and TIFF."
    )
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="1 to 100; else 80 for JPEG and WebP, 50 for AVIF. PNG has none."
    )

    @model_validator(mode="after")
    def check_box(self) -> Self:
        """Refuse a box without sides, and one that no image may fill.

        Raises:
            ValueError: so it is.
        """
        if self.width is None and self.height is None:
            raise ValueError("width or height is needed")
        if (self.width or 1) * (self.height or 1) > MAX_PIXELS:
            raise ValueError(f"the box has more than {MAX_PIXELS // 1_000_000} million pixels")
        return self


def run(job: Job) -> Sequence[Output]:
    """Make the one image.

    Raises:
        BadInputError: the image is broken.
        UnsafeInputError: it, or the result, has too many pixels.
    """
    options: ImageResizeOptions = job.options
    header = image_loading.read_header(job)
    vips = image_loading.engine()
    format_ = image_saving.format_for(options.format, job.media_type)
    with image_loading.refusing_what_is_broken(vips):
        image = _scaled(job, header, options)
        if options.background is not None and image.hasalpha():
            image = image.flatten(background=image_saving.colour(options.background))
        if options.fit == "contain" and options.width and options.height:
            image = _letterboxed(image, options.width, options.height, format_, options.background)
        output = image_saving.save(
            image, job.folder, format_, quality=options.quality, background=options.background
        )
    return [output]


def _scaled(job: Job, header: Header, options: ImageResizeOptions) -> Any:
    width, height = options.width, options.height
    if width is None or height is None or options.fit in {"inside", "contain"}:
        width, height = width or _UNBOUNDED, height or _UNBOUNDED
        ratio = min(width / header.width, height / header.height)
        if options.enlarge and header.width * ratio * header.height * ratio > MAX_PIXELS:
            raise UnsafeInputError(
                f"The result would have more than {MAX_PIXELS // 1_000_000} million pixels."
            )
        size = "both" if options.enlarge else "down"
        return image_loading.open_upright(job, header, width, height, size=size)
    if options.fit == "fill":
        if not options.enlarge:
            width, height = min(width, header.width), min(height, header.height)
        return image_loading.open_upright(job, header, width, height, size="force")
    if not options.enlarge:
        ratio = min(1.0, header.width / width, header.height / height)
        width, height = max(1, round(width * ratio)), max(1, round(height * ratio))
    crop = "centre" if options.fit == "cover" else "attention"
    return image_loading.open_upright(job, header, width, height, crop=crop)


def _letterboxed(image: Any, width: int, height: int, format_: str, background: str | None) -> Any:
    if background is None and format_ != "jpeg":
        image = image if image.hasalpha() else image.addalpha()
        fill = [0.0, 0.0, 0.0, 0.0]
    else:
        if image.hasalpha():
            image = image.flatten(background=image_saving.colour(background or "#ffffff"))
        fill = image_saving.colour(background or "#ffffff")
    return image.gravity("centre", width, height, extend="background", background=fill)


def promise(options: ImageResizeOptions, media_type: str) -> list[Promised]:
    """Tell the one image."""
    return image_saving.promised(image_saving.format_for(options.format, media_type))


PROCESSOR = Processor(
    name="image.resize",
    summary="An image in another size: upright, in sRGB, without metadata.",
    version=1,
    options=ImageResizeOptions,
    takes=image_loading.IMAGE_TYPES,
    run=run,
    promise=promise,
    engines=image_loading.engines,
    limits=image_loading.IMAGE_LIMITS,
    preload=("pyvips", "posthouse.files.processors.image_warming"),
)
