"""Opens images that strangers sent: what one claims to be is checked before a pixel is decoded."""

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from posthouse.files.processors.protocol import (
    MIB,
    BadInputError,
    Job,
    StepLimits,
    UnsafeInputError,
)

MAX_PIXELS = 50_000_000
"""Of all pages together. A photo has 12 to 48 million; a PNG of 100 KB may claim 900 million."""
IMAGE_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/avif", "image/gif", "image/tiff"}
)
_LOADERS = {
    "jpegload": "image/jpeg",
    "pngload": "image/png",
    "webpload": "image/webp",
    "heifload": "image/avif",
    "gifload": "image/gif",
    "tiffload": "image/tiff",
}
# An encoded AVIF of 25 million pixels takes a gigabyte of address space.
IMAGE_LIMITS = StepLimits(memory_bytes=1536 * MIB, cpu_s=60, wall_s=120.0)
_TURNED_SIDEWAYS = 5  # EXIF: orientations from 5 to 8 swap width and height
_NO_MEMORY = ("out of memory", "Encoder plugin generated an error", "Unknown error -1")
# Two jobs on two cores gain nothing from more threads: bench/images.py.
_THREADS = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says about itself; `width` and `height` are those of the upright image.

    One that `has_profile` names other colours than sRGB, or is CMYK, which means such a profile.
    """

    width: int
    height: int
    pages: int
    has_profile: bool


def engine() -> Any:
    """libvips, with the loaders that are not meant for strangers' files shut (SVG, PDF, …)."""
    import pyvips  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]  a child's library

    vips: Any = pyvips
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # it quotes the sender's file
    vips.block_untrusted_set(True)
    vips.concurrency_set(_THREADS)
    vips.cache_set_max(0)
    return vips


def engines() -> dict[str, str]:
    """The version of libvips."""
    vips = engine()
    return {"libvips": ".".join(str(vips.version(part)) for part in range(3))}


def read_header(job: Job) -> Header:
    """Read what the image says about itself; nothing is decoded.

    Raises:
        BadInputError: it is no image, or of another type than it was taken for.
        UnsafeInputError: it has more than `MAX_PIXELS`.
    """
    vips = engine()
    with refusing_what_is_broken(vips):
        image = vips.Image.new_from_file(str(job.source), access="sequential")
    found = _LOADERS.get(image.get("vips-loader"))
    if found == "image/avif" and image.get("heif-compression") != "av1":
        found = None
    if found != job.media_type:
        raise BadInputError(f"The file is not the {job.media_type} that it was taken for.")
    pages = max(1, int(image.get_n_pages()))
    if image.width * image.height * pages > MAX_PIXELS:
        raise UnsafeInputError(
            f"The image has {image.width} x {image.height} pixels and {pages} page(s); "
            f"{MAX_PIXELS // 1_000_000} million pixels are allowed in all."
        )
    is_sideways = _orientation(image) >= _TURNED_SIDEWAYS
    width, height = (image.height, image.width) if is_sideways else (image.width, image.height)
    has_profile = bool(image.get_typeof("icc-profile-data")) or image.interpretation == "cmyk"
    return Header(width, height, pages, has_profile)


def open_upright(
    job: Job, header: Header, width: int, height: int, *, size: str = "both", crop: str = "none"
) -> Any:
    """Give the first page upright, in sRGB of 8 bits, scaled to the box `width` x `height`.

    `size` and `crop` are those of libvips' `thumbnail`. Pixels are decoded when the image is
    saved, so that has to be inside of `refusing_what_is_broken` as well.
    """
    # Only where it is needed: it takes longer than all the rest.
    profile = {"output_profile": "srgb"} if header.has_profile else {}
    image = engine().Image.thumbnail(
        str(job.source), width, height=height, size=size, crop=crop, fail_on="error", **profile
    )
    is_srgb = image.interpretation == "srgb" and image.format == "uchar"
    return image if is_srgb else image.colourspace("srgb")


@contextmanager
def refusing_what_is_broken(vips: Any) -> Generator[None]:
    """Say what libvips found wrong in few words, without the file's path.

    Raises:
        BadInputError: the image is broken.
        MemoryError: there was not enough memory for it.
        OSError: the result could not be written.
    """
    try:
        yield
    except vips.Error as error:
        message = str(error)
        if any(sign in message for sign in _NO_MEMORY):
            raise MemoryError from error
        if "No space left" in message:
            raise OSError("no space left on the device") from error
        raise BadInputError(f"The image cannot be read: {shortened(message)}.") from error


def shortened(message: str) -> str:
    """The line of libvips' message that says what is wrong, without domain and path."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = [
        line for line in lines if not line.startswith("unable to call") and "bad seek" not in line
    ]
    first = re.sub(r"^[A-Za-z0-9_]+: ", "", said[0] if said else "no reason was given")
    return re.sub(r'"[^"]*/[^"]*"', "the file", first)[:200].rstrip(".")


def _orientation(image: Any) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1
