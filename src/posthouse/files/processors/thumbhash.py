"""ThumbHash: a picture in about 25 bytes, to show while the real one loads.

The format of Evan Wallace (evanw.github.io/thumbhash): the image's lowest frequencies, as a cosine
transform of luminance (`l`), yellow-blue (`p`), red-green (`q`) and alpha gives them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

MAX_SIDE = 100
"""The format's own bound: more pixels would not change the hash, only the time it takes."""
_OPAQUE = 255


@dataclass(frozen=True, slots=True)
class _Channel:
    """The frequencies of a channel: its mean, and the others from 0 to 1 with their scale."""

    mean: float
    others: tuple[float, ...]
    scale: float


def encode(width: int, height: int, rgba: bytes) -> bytes:
    """Hash an image of at most 100 x 100 pixels, four bytes each, row by row.

    Raises:
        ValueError: the size is another one.
    """
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and len(rgba) == 4 * width * height):
        raise ValueError(f"{width} x {height} pixels in {len(rgba)} bytes")
    alpha = [value / 255 for value in rgba[3::4]]
    has_alpha = any(value != _OPAQUE for value in rgba[3::4])
    red, green, blue = (_over_average(rgba[at::4], alpha) for at in range(3))
    size = (width, height)
    longest = max(size)
    most = 5 if has_alpha else 7  # room is needed for alpha's own frequencies
    across, down = (max(1, _rounded(most * side / longest)) for side in size)

    sums = [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)]
    yellow_blue = [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)]
    red_green = [r - g for r, g in zip(red, green, strict=True)]
    l = _channel(sums, size, max(3, across), max(3, down))  # noqa: E741  the format's name
    p, q = _channel(yellow_blue, size, 3, 3), _channel(red_green, size, 3, 3)
    a = _channel(alpha, size, 5, 5) if has_alpha else None

    is_landscape = width > height
    first = (
        _rounded(63 * l.mean)
        | _rounded(31.5 + 31.5 * p.mean) << 6
        | _rounded(31.5 + 31.5 * q.mean) << 12
        | _rounded(31 * l.scale) << 18
        | has_alpha << 23
    )
    second = (
        (down if is_landscape else across)
        | _rounded(63 * p.scale) << 3
        | _rounded(63 * q.scale) << 9
        | is_landscape << 15
    )
    head = first.to_bytes(3, "little") + second.to_bytes(2, "little")
    others = l.others + p.others + q.others
    if a is not None:
        head += bytes([_rounded(15 * a.mean) | _rounded(15 * a.scale) << 4])
        others += a.others
    return head + _nibbles([_rounded(15 * value) for value in others])


def average_colour(rgba: bytes) -> tuple[int, int, int]:
    """Red, green and blue of all pixels, each as much as it is opaque."""
    alpha = rgba[3::4]
    total = sum(alpha)
    if not total:
        return 0, 0, 0
    red, green, blue = (_rounded(sum(map(mul, rgba[at::4], alpha)) / total) for at in range(3))
    return red, green, blue


def _over_average(values: bytes, alpha: Sequence[float]) -> list[float]:
    """A colour laid over its own average, so that what is transparent has no colour."""
    total = sum(alpha)
    average = sum(map(mul, values, alpha)) / 255 / total if total else 0.0
    return [
        average * (1 - opaque) + opaque * value / 255
        for value, opaque in zip(values, alpha, strict=True)
    ]


def _channel(values: Sequence[float], size: tuple[int, int], across: int, down: int) -> _Channel:
    """The cosine transform, of the frequencies under the diagonal only."""
    width, height = size
    rows = [values[at : at + width] for at in range(0, width * height, width)]
    waves = [_wave(width, frequency) for frequency in range(across)]
    columns = [[sum(map(mul, row, wave)) for row in rows] for wave in waves]
    found: list[float] = []
    for y in range(down):
        wave = _wave(height, y)
        x = 0
        while x * down < across * (down - y):
            found.append(sum(map(mul, columns[x], wave)) / (width * height))
            x += 1
    mean, *others = found
    scale = max(map(abs, others), default=0.0)
    if scale:
        others = [0.5 + 0.5 / scale * value for value in others]
    return _Channel(mean, tuple(others), scale)


def _wave(length: int, frequency: int) -> list[float]:
    return [math.cos(math.pi / length * frequency * (at + 0.5)) for at in range(length)]


def _nibbles(values: Sequence[int]) -> bytes:
    """Two values of four bits a byte, the first one low."""
    padded = [*values, 0] if len(values) % 2 else list(values)
    return bytes(low | high << 4 for low, high in zip(padded[::2], padded[1::2], strict=True))


def _rounded(value: float) -> int:
    """Half goes up, as in the format's own code, not to the even neighbour."""
    return math.floor(value + 0.5)
