"""A ThumbHash is the one of the published format: what decodes it sees the image again."""

import base64
import cmath
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posthouse.files.processors import thumbhash
from tests.files.media.jobs import Workshop
from tests.files.media.pictures import encoded, noise, picture, pixels


def frequency(values: list[float], width: int, height: int, x: int, y: int) -> float:
    """One term of the transform, by complex exponentials and straight from its definition."""
    total = 0.0
    for at, value in enumerate(values):
        row, column = divmod(at, width)
        across = cmath.exp(1j * math.pi * x * (column + 0.5) / width).real
        total += value * across * cmath.exp(1j * math.pi * y * (row + 0.5) / height).real
    return total / (width * height)


def average_of(hash_: bytes) -> tuple[float, float, float, float]:
    """Red, green, blue and alpha from 0 to 255 as the format's header tells them."""
    head = int.from_bytes(hash_[:3], "little")
    luminance = (head & 63) / 63
    yellow_blue, red_green = (((head >> shift) & 63) / 31.5 - 1 for shift in (6, 12))
    blue = luminance - 2 / 3 * yellow_blue
    red = (3 * luminance - blue + red_green) / 2
    alpha = (hash_[5] & 15) / 15 if head >> 23 else 1.0
    return tuple(255 * value for value in (red, red - red_green, blue, alpha))  # type: ignore[return-value]


def ratio_of(hash_: bytes) -> float:
    longest = 5 if hash_[2] & 0x80 else 7
    shortest = hash_[3] & 7
    return longest / shortest if hash_[4] & 0x80 else shortest / longest


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (12, 34, 200), (255, 255, 255)])
def test_the_average_colour_decodes_back(colour: tuple[int, int, int]) -> None:
    hash_ = thumbhash.encode(10, 10, bytes((*colour, 255)) * 100)
    assert average_of(hash_) == pytest.approx((*colour, 255), abs=8)
    assert thumbhash.average_colour(bytes((*colour, 255)) * 100) == colour


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (100, 100), (100, 15)])
def test_the_shape_decodes_back(size: tuple[int, int]) -> None:
    image = picture(*size, mode="RGBA")
    ratio = ratio_of(thumbhash.encode(*size, image.tobytes()))
    assert ratio == pytest.approx(size[0] / size[1], rel=0.2)


def test_frequencies_are_those_of_the_definition() -> None:
    width, height = 16, 12
    image = noise(width, height).convert("RGBA")
    hash_ = thumbhash.encode(width, height, image.tobytes())
    luminance = [sum(pixel[:3]) / 3 / 255 for pixel in pixels(image)]
    down = max(3, round(7 * height / width))
    terms = [
        frequency(luminance, width, height, x, y)
        for y in range(down)
        for x in range(7)
        if x * down < 7 * (down - y)
    ][1:]
    scale = max(abs(term) for term in terms)
    expected = [math.floor(15 * (0.5 + 0.5 * term / scale) + 0.5) for term in terms]
    nibbles = [nibble for byte in hash_[5:] for nibble in (byte & 15, byte >> 4)]
    assert nibbles[: len(expected)] == expected
    assert (int.from_bytes(hash_[:3], "little") >> 18) & 31 == round(31 * scale)


def test_what_is_transparent_has_no_colour() -> None:
    half = bytes((200, 20, 20, 255)) * 50 + bytes((0, 255, 0, 0)) * 50
    hash_ = thumbhash.encode(10, 10, half)
    assert hash_[2] & 0x80
    assert average_of(hash_) == pytest.approx((200, 20, 20, 127), abs=10)
    assert thumbhash.average_colour(half) == (200, 20, 20)
    assert thumbhash.average_colour(bytes(400)) == (0, 0, 0)


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_image_has_a_short_hash(width: int, height: int, chance: object) -> None:
    rgba = chance.randbytes(4 * width * height)  # type: ignore[attr-defined]
    hash_ = thumbhash.encode(width, height, rgba)
    assert 13 <= len(hash_) <= 26
    assert all(0 <= value <= 255.001 for value in average_of(hash_)[3:])


@pytest.mark.parametrize("size", [(101, 10), (10, 101), (0, 1), (10, 10)])
def test_pixels_that_are_not_of_the_size_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        thumbhash.encode(*size, bytes(44))


def test_a_placeholder_tells_size_and_colour(workshop: Workshop) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    source = encoded(Image.new("RGB", (300, 200), (10, 120, 240)), "JPEG", exif=exif, quality=95)
    output = workshop.run("image.placeholder", source, "image/jpeg")
    told = json.loads(output.path.read_text())
    assert told == dict(output.facts)
    assert (told["width"], told["height"]) == (200, 300)
    assert ratio_of(base64.b64decode(told["thumbhash"])) < 1
    red, green, blue = (int(told["average_color"][at : at + 2], 16) for at in (1, 3, 5))
    assert (red, green, blue) == pytest.approx((10, 120, 240), abs=4)
    assert average_of(base64.b64decode(told["thumbhash"]))[:3] == pytest.approx(
        (10, 120, 240), abs=8
    )
