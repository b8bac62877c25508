"""Files that only look like images, or want to cost more than they may, are refused."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from posthouse.files.processors import image_loading
from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.media.jobs import Workshop
from tests.files.media.pictures import (
    TYPES,
    encoded,
    gif_of,
    noise,
    picture,
    png_chunk,
    png_that_claims,
)

USES = {"image.resize": {"width": 50}, "image.convert": {"format": "png"}, "image.placeholder": {}}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'
MVG = b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 9,9 'http://127.0.0.1/x.png'\n"
PPM = b"P6 2 2 255\n" + bytes(12)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "source",
    [
        png_that_claims(60_000, 60_000),
        png_that_claims(30_000, 30_000, pixels=bytes(1000)),
        png_that_claims(2_000_000_000, 2),
        gif_of(400, 400, 400),
    ],
    ids=["3.6 gigapixels", "900 megapixels", "a long line", "64 megapixels in frames"],
)
def test_what_claims_too_many_pixels_is_refused_unread(
    workshop: Workshop, use: str, source: bytes
) -> None:
    media_type = "image/gif" if source.startswith(b"GIF") else "image/png"
    with pytest.raises((UnsafeInputError, BadInputError)) as raised:
        workshop.run(use, source, media_type, **USES[use])
    assert len(str(raised.value)) < 300


def test_the_bound_is_told(workshop: Workshop) -> None:
    with pytest.raises(UnsafeInputError, match=r"30000 x 30000 .* 50 million"):
        workshop.run("image.resize", png_that_claims(30_000, 30_000), "image/png", width=9)


@pytest.mark.parametrize("kind", TYPES)
def test_a_truncated_image_is_refused_not_filled_with_grey(workshop: Workshop, kind: str) -> None:
    whole = encoded(noise(200, 200), kind)
    for use, options in USES.items():
        with pytest.raises(BadInputError, match="cannot be read") as raised:
            workshop.run(use, whole[: len(whole) * 2 // 3], TYPES[kind], **options)
        assert str(workshop.folder) not in str(raised.value)


@pytest.mark.parametrize("kind", TYPES)
def test_a_damaged_image_never_shows_an_engines_error(workshop: Workshop, kind: str) -> None:
    whole = bytearray(encoded(noise(60, 60), kind))
    for at in range(8, len(whole), max(1, len(whole) // 40)):
        damaged = bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            output = workshop.run("image.resize", damaged, TYPES[kind], width=10)
        except (BadInputError, UnsafeInputError):
            continue
        assert output.facts["width"] <= 10


@pytest.mark.parametrize("source", [SVG, MVG, PPM, b"%PDF-1.4\n", b"just text", b"", b"\xff\xd8"])
@pytest.mark.parametrize("media_type", sorted(image_loading.IMAGE_TYPES))
def test_what_is_no_image_is_refused(workshop: Workshop, source: bytes, media_type: str) -> None:
    with pytest.raises(BadInputError):
        workshop.run("image.resize", source, media_type, width=9)


def test_loaders_for_trusted_files_are_shut(tmp_path: Path) -> None:
    vips = image_loading.engine()
    path = tmp_path / "a.svg"
    path.write_bytes(SVG)
    with pytest.raises(vips.Error, match="not a known file format"):
        vips.Image.new_from_file(str(path))
    for loader in ("svgload", "vipsload", "csvload"):
        with pytest.raises(vips.Error, match="blocked"):
            vips.Operation.call(loader, str(path))
    for loader in ("pdfload", "magickload", "ppmload"):
        with pytest.raises(vips.Error, match=r"blocked|not found"):
            vips.Operation.call(loader, str(path))


def test_an_image_of_another_type_than_it_was_taken_for_is_refused(workshop: Workshop) -> None:
    with pytest.raises(BadInputError, match="not the image/jpeg"):
        workshop.run("image.resize", encoded(picture()), "image/jpeg", width=9)


def test_a_zip_bomb_in_a_comment_is_harmless(workshop: Workshop) -> None:
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    source = png_that_claims(2, 1, bomb, pixels=b"\0\x10\x20")
    output = workshop.run("image.convert", source, "image/png", format="png")
    assert output.path.stat().st_size < 1000


def test_four_thousand_frames_are_harmless(workshop: Workshop) -> None:
    output = workshop.run("image.resize", gif_of(4000, 8, 8), "image/gif", width=4)
    assert output.facts["width"] == 4


def test_html_behind_the_pixels_is_gone(workshop: Workshop) -> None:
    source = encoded(picture(mode="P"), "GIF") + b"<script>alert(1)</script>"
    output = workshop.run("image.convert", source, "image/gif", format="webp")
    assert b"script" not in output.path.read_bytes()


def test_a_broken_profile_does_not_break_the_image(workshop: Workshop) -> None:
    source = encoded(Image.new("RGB", (20, 20), (10, 200, 30)), icc_profile=b"garbage" * 40)
    output = workshop.run("image.convert", source, "image/png", format="png")
    with Image.open(output.path) as made:
        assert made.convert("RGB").getpixel((3, 3)) == (10, 200, 30)


def test_a_tiff_that_points_beside_itself_is_refused(workshop: Workshop) -> None:
    entries = [(256, 4, 1, 100), (257, 4, 1, 100), (273, 4, 1, 0x7FFFFFF0), (279, 4, 1, 10_000)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    source = b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)
    with pytest.raises(BadInputError):
        workshop.run("image.resize", source, "image/tiff", width=9)
