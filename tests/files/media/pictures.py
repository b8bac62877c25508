"""Images as Pillow makes them, good ones and such that want to do harm."""

import io
import random  # noqa: TID251  the same noise each time
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw

TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}


def picture(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    """Four fields, so that a wrong turn is seen: red, green, blue and yellow."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    x, y = width // 2, height // 2
    for box, colour in (
        ((0, 0, x, y), "red"),
        ((x, 0, width, y), "lime"),
        ((0, y, x, height), "blue"),
        ((x, y, width, height), "yellow"),
    ):
        draw.rectangle(box, fill=colour)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    data = random.Random(seed).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), data)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def png_that_claims(width: int, height: int, *more: bytes, pixels: bytes = b"") -> bytes:
    """A PNG whose header says so many pixels, whatever follows."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", head),
            *more,
            png_chunk(b"IDAT", zlib.compress(pixels)),
            png_chunk(b"IEND", b""),
        )
    )


def gif_of(frames: int, width: int, height: int) -> bytes:
    """A GIF of so many frames, each with other pixels."""
    images = [
        Image.frombytes("P", (width, height), bytes([n % 256, n // 256] * (width * height // 2)))
        for n in range(frames)
    ]
    for image in images:
        image.putpalette(bytes(range(256)) * 3)
    return encoded(images[0], "GIF", save_all=True, append_images=images[1:], duration=20)


def pixel(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    """One pixel, always with its channels."""
    return pixels(image.crop((*at, at[0] + 1, at[1] + 1)))[0]


def pixels(image: Image.Image) -> list[tuple[int, ...]]:
    """All pixels, row by row."""
    bands = len(image.getbands())
    data = image.tobytes()
    return [tuple(data[at : at + bands]) for at in range(0, len(data), bands)]
