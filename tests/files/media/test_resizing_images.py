"""Each fit gives the size it says, and shows the part of the image that it says."""

import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.media.jobs import Workshop
from tests.files.media.pictures import encoded, picture, pixel, pixels

SOURCE = encoded(picture(120, 80))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"width": 60}, (60, 40)),
        ({"height": 20}, (30, 20)),
        ({"width": 60, "height": 60}, (60, 40)),
        ({"width": 60, "height": 60, "fit": "contain"}, (60, 60)),
        ({"width": 60, "height": 60, "fit": "cover"}, (60, 60)),
        ({"width": 60, "height": 60, "fit": "attention"}, (60, 60)),
        ({"width": 60, "height": 60, "fit": "fill"}, (60, 60)),
        ({"width": 60, "fit": "cover"}, (60, 40)),
        ({"width": 60, "fit": "contain"}, (60, 40)),
        ({"width": 60, "fit": "fill"}, (60, 40)),
        # Nothing grows unless it is asked to.
        ({"width": 600}, (120, 80)),
        ({"width": 600, "height": 600, "fit": "cover"}, (80, 80)),
        ({"width": 600, "height": 600, "fit": "attention"}, (80, 80)),
        ({"width": 600, "height": 40, "fit": "fill"}, (120, 40)),
        ({"width": 600, "height": 600, "fit": "contain"}, (600, 600)),
        ({"width": 240, "enlarge": True}, (240, 160)),
        ({"width": 240, "height": 240, "fit": "cover", "enlarge": True}, (240, 240)),
        ({"width": 240, "height": 240, "fit": "fill", "enlarge": True}, (240, 240)),
        ({"width": 240, "height": 300, "fit": "contain", "enlarge": True}, (240, 300)),
        ({"width": 1, "height": 1, "fit": "cover"}, (1, 1)),
    ],
)
def test_the_size_is_as_the_fit_says(
    workshop: Workshop, options: dict[str, object], size: tuple[int, int]
) -> None:
    output = workshop.run("image.resize", SOURCE, "image/png", **options)
    assert (output.facts["width"], output.facts["height"]) == size
    with Image.open(output.path) as made:
        assert made.size == size


def test_cover_keeps_the_middle(workshop: Workshop) -> None:
    source = encoded(picture(300, 100))
    output = workshop.run("image.resize", source, "image/png", width=50, height=50, fit="cover")
    with Image.open(output.path) as made:
        colours = [pixel(made.convert("RGB"), at) for at in ((5, 5), (45, 5), (5, 45), (45, 45))]
    assert colours == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def test_attention_keeps_what_stands_out(workshop: Workshop) -> None:
    image = Image.new("RGB", (400, 100), (90, 90, 90))
    draw = ImageDraw.Draw(image)
    for x in range(330, 380, 10):
        draw.rectangle((x, 20, x + 5, 80), fill=(230, 140, 110))
    options = {"width": 100, "height": 100, "fit": "attention"}
    output = workshop.run("image.resize", encoded(image), "image/png", **options)
    with Image.open(output.path) as made:
        assert (230, 140, 110) in set(pixels(made.convert("RGB")))


@pytest.mark.parametrize(
    ("options", "corner"),
    [
        ({}, (0, 0, 0, 0)),
        ({"background": "#102030"}, (16, 32, 48)),
        ({"format": "jpeg"}, (255, 255, 255)),
        ({"format": "jpeg", "background": "#102030"}, (16, 32, 48)),
    ],
)
def test_what_contain_leaves_is_filled(
    workshop: Workshop, options: dict[str, str], corner: tuple[int, ...]
) -> None:
    box = {"width": 90, "height": 90, "fit": "contain"}
    output = workshop.run("image.resize", SOURCE, "image/png", **box, **options)
    with Image.open(output.path) as made:
        assert pixel(made, (45, 3)) == pytest.approx(corner, abs=3)
        assert pixel(made.convert("RGB"), (20, 30)) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize(
    ("media_type", "kind", "made"),
    [
        ("image/jpeg", "JPEG", "jpeg"),
        ("image/png", "PNG", "png"),
        ("image/webp", "WEBP", "webp"),
        ("image/avif", "AVIF", "avif"),
        ("image/gif", "GIF", "png"),
        ("image/tiff", "TIFF", "png"),
    ],
)
def test_the_format_stays_where_it_can(
    workshop: Workshop, media_type: str, kind: str, made: str
) -> None:
    output = workshop.run("image.resize", encoded(picture(), kind), media_type, width=30)
    assert output.facts["format"] == made
    with Image.open(output.path) as image:
        assert image.format == made.upper()


def test_the_smallest_and_the_thinnest_images_are_well(workshop: Workshop) -> None:
    tiny = workshop.run("image.resize", encoded(picture(1, 1)), "image/png", width=10)
    assert (tiny.facts["width"], tiny.facts["height"]) == (1, 1)
    thin = encoded(Image.new("RGB", (1, 9000)))
    output = workshop.run("image.resize", thin, "image/png", width=50, height=50)
    assert (output.facts["width"], output.facts["height"]) == (1, 50)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 0},
        {"width": 16_385},
        {"width": 16_384, "height": 16_384},
        {"width": "60"},
        {"width": 60, "fit": "stretch"},
        {"width": 60, "quality": 0},
        {"width": 60, "quality": 101},
        {"width": 60, "background": "red"},
        {"width": 60, "background": "#fff"},
        {"width": 60, "format": "gif"},
        {"width": 60, "blur": 3},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PROCESSORS["image.resize"].options.model_validate(options)


def test_lossless_jpeg_is_refused() -> None:
    with pytest.raises(ValidationError, match="JPEG"):
        PROCESSORS["image.convert"].options.model_validate({"format": "jpeg", "lossless": True})


def test_a_result_of_too_many_pixels_is_refused(workshop: Workshop) -> None:
    thin = encoded(Image.new("L", (10, 2000)))
    with pytest.raises(UnsafeInputError, match="50 million"):
        workshop.run("image.resize", thin, "image/png", width=16_384, enlarge=True)
    broad = encoded(Image.new("L", (6000, 5000)))
    with pytest.raises(UnsafeInputError, match="25 million"):
        workshop.run("image.convert", broad, "image/png", format="avif")


def test_a_side_that_the_format_has_no_room_for_is_refused(workshop: Workshop) -> None:
    long = encoded(Image.new("L", (16_384, 2)))
    with pytest.raises(BadInputError, match="16,383"):
        workshop.run("image.convert", long, "image/png", format="webp")
