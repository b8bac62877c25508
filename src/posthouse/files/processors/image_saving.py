"""Writes images: every format with its own settings, and no metadata in any."""

from pathlib import Path
from typing import Any, Literal

from posthouse.files.processors.protocol import BadInputError, Output, Promised, UnsafeInputError

Format = Literal["jpeg", "png", "webp", "avif"]
EXTENSIONS: dict[str, str] = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
COLOUR = r"^#[0-9A-Fa-f]{6}$"
_QUALITY = {"jpeg": 80, "webp": 80, "avif": 50}
_LONGEST_SIDE = {"jpeg": 65_535, "png": 1_000_000, "webp": 16_383, "avif": 16_384}
MAX_AVIF_PIXELS = 25_000_000
"""Its encoder takes 30 bytes for a pixel."""
# 2: half of the time of 4 at full size, for files of about the same size.
_AVIF_EFFORT = 2


def media_type(format: str) -> str:  # noqa: A002  the option's name
    """The media type of a format."""
    return f"image/{format}"


def format_for(asked: Format | None, source_type: str) -> Format:
    """The format to write: as asked, else the source's, else PNG, which loses nothing."""
    if asked is not None:
        return asked
    kept: dict[str, Format] = {
        "image/jpeg": "jpeg",
        "image/webp": "webp",
        "image/avif": "avif",
    }
    return kept.get(source_type, "png")


def promised(format: str) -> list[Promised]:  # noqa: A002  the option's name
    """The one image that a step makes."""
    return [Promised("", media_type(format), EXTENSIONS[format])]


def colour(text: str) -> list[float]:
    """Red, green and blue of `#rrggbb`."""
    return [float(int(text[at : at + 2], 16)) for at in (1, 3, 5)]


def save(
    image: Any,
    folder: Path,
    format: str,  # noqa: A002  the option's name
    *,
    quality: int | None = None,
    is_lossless: bool = False,
    background: str | None = None,
) -> Output:
    """Write the image into `folder`; alpha is laid on `background` where JPEG has none.

    Raises:
        BadInputError: the format has no room for so many pixels a side.
        UnsafeInputError: AVIF of so many pixels takes too much memory.
    """
    longest = _LONGEST_SIDE[format]
    if max(image.width, image.height) > longest:
        raise BadInputError(
            f"The result would be {image.width} x {image.height}; "
            f"{format} holds at most {longest:,} pixels a side."
        )
    if format == "avif" and image.width * image.height > MAX_AVIF_PIXELS:
        raise UnsafeInputError(
            f"The result would be {image.width} x {image.height}; AVIF is made of at most "
            f"{MAX_AVIF_PIXELS // 1_000_000} million pixels. Make it smaller, or use webp."
        )
    if format == "jpeg" and image.hasalpha():
        image = image.flatten(background=colour(background or "#ffffff"))
    path = folder / f"image.{EXTENSIONS[format]}"
    quality = quality or _QUALITY.get(format)
    if format == "jpeg":
        image.jpegsave(str(path), Q=quality, optimize_coding=True, keep="none")
    elif format == "png":
        image.pngsave(str(path), keep="none")
    elif format == "webp":
        image.webpsave(str(path), Q=quality, lossless=is_lossless, keep="none")
    else:
        image.heifsave(
            str(path),
            compression="av1",
            Q=quality,
            lossless=is_lossless,
            effort=_AVIF_EFFORT,
            keep="none",
        )
    facts = {
        "width": image.width,
        "height": image.height,
        "format": format,
        "alpha": bool(image.hasalpha()),
    }
    return Output(path, media_type(format), EXTENSIONS[format], facts=facts)
