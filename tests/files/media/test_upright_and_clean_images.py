"""Images come out upright, in sRGB, and tell nothing of where they were made."""

import io

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from tests.files.media.jobs import CORPORA, Workshop
from tests.files.media.pictures import encoded, noise, picture, pixel, pixels

ORIENTED = CORPORA / "exif-orientation"
GPS, GPS_LATITUDE = 0x8825, 2
NEAR = 6.0  # mean difference of a channel that recompression makes; a wrong turn makes 40


def difference(one: Image.Image, other: Image.Image) -> float:
    stat = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB")))
    return sum(stat.mean) / 3


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("use", ["image.resize", "image.convert"])
def test_orientation_follows_exif(workshop: Workshop, shape: str, number: int, use: str) -> None:
    options = {"width": 240} if use == "image.resize" else {"format": "jpeg"}
    source = ORIENTED / f"{shape}_{number}.jpg"
    output = workshop.run(use, source, "image/jpeg", **options)
    with Image.open(output.path) as made, Image.open(ORIENTED / f"{shape}_1.jpg") as upright:
        assert (made.width > made.height) == (shape == "Landscape")
        small = made.resize((120, 120)), upright.resize((120, 120))
        # All but 0 and 1 bear a number in the picture; it is small.
        assert difference(*small) < NEAR
        assert difference(small[0].rotate(180), small[1]) > 5 * NEAR
        assert made.getexif().get(0x0112) is None


@pytest.mark.parametrize("made", ["jpeg", "png", "webp", "avif"])
def test_no_metadata_is_left(workshop: Workshop, made: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera of somebody"
    exif[GPS] = {1: "N", GPS_LATITUDE: (52.0, 31.0, 12.0)}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">home address</x:xmpmeta>'
    source = encoded(picture(), "JPEG", exif=exif, xmp=xmp, comment="a secret comment")
    with Image.open(io.BytesIO(source)) as sent:
        assert sent.getexif().get_ifd(GPS)[GPS_LATITUDE] == (52.0, 31.0, 12.0)
    output = workshop.run("image.convert", source, "image/jpeg", format=made)
    with Image.open(output.path) as image:
        assert dict(image.getexif()) == {}
        assert image.getexif().get_ifd(GPS) == {}
        assert not {"xmp", "comment", "icc_profile", "exif"} & set(image.info)
    data = output.path.read_bytes()
    assert b"Camera" not in data
    assert b"secret" not in data
    assert b"home address" not in data


def test_text_chunks_of_png_are_not_left(workshop: Workshop) -> None:
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Author", "somebody", zip=True)
    output = workshop.run("image.resize", encoded(picture(), pnginfo=told), "image/png", width=50)
    with Image.open(output.path) as image:
        assert set(image.info) <= {"dpi"}


def test_colours_of_another_profile_become_srgb(workshop: Workshop) -> None:
    """The profile says that red is blue and blue is red, so that the image has to say it, too."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = (
        profile.replace(b"rXYZ", b"....", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"....", b"bXYZ")
    )
    for kind, media_type in (("PNG", "image/png"), ("WEBP", "image/webp"), ("JPEG", "image/jpeg")):
        source = encoded(picture(), kind, icc_profile=swapped)
        output = workshop.run("image.convert", source, media_type, format="png")
        with Image.open(output.path) as made:
            assert "icc_profile" not in made.info
            assert pixel(made, (20, 20)) == pytest.approx((0, 0, 255), abs=16)
            assert pixel(made, (20, 60)) == pytest.approx((255, 0, 0), abs=16)


def test_cmyk_becomes_srgb(workshop: Workshop) -> None:
    """CMYK that is read as if it were RGB would come out inverted or green."""
    source = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    output = workshop.run("image.convert", source, "image/jpeg", format="png")
    with Image.open(output.path) as image:
        red, blue = pixel(image, (20, 20)), pixel(image, (20, 60))
    assert image.mode == "RGB"
    assert red[0] > 180
    assert max(red[1:]) < 90
    assert blue[2] > max(blue[:2])


@pytest.mark.parametrize(
    ("mode", "kind", "media_type"),
    [
        ("P", "PNG", "image/png"),
        ("P", "GIF", "image/gif"),
        ("RGB", "WEBP", "image/webp"),
        ("RGB", "AVIF", "image/avif"),
        ("RGB", "TIFF", "image/tiff"),
        ("RGBA", "PNG", "image/png"),
        ("RGBA", "WEBP", "image/webp"),
    ],
)
def test_every_kind_is_read_as_pillow_reads_it(
    workshop: Workshop, mode: str, kind: str, media_type: str
) -> None:
    source = encoded(picture(mode=mode), kind)
    output = workshop.run("image.convert", source, media_type, format="png")
    with Image.open(output.path) as made, Image.open(io.BytesIO(source)) as sent:
        assert made.size == sent.size
        assert difference(made, sent.convert("RGBA").convert("RGB")) < 3


def test_a_progressive_jpeg_is_read(workshop: Workshop) -> None:
    source = encoded(ImageOps.expand(picture(), 7), "JPEG", progressive=True)
    output = workshop.run("image.convert", source, "image/jpeg", format="png")
    with Image.open(output.path) as made, Image.open(io.BytesIO(source)) as sent:
        assert sent.info["progressive"]
        assert difference(made, sent) < 1


def test_sixteen_bits_become_eight(workshop: Workshop) -> None:
    source = encoded(Image.new("I;16", (30, 20), 0xFFFF))
    output = workshop.run("image.resize", source, "image/png", width=10)
    with Image.open(output.path) as made:
        assert pixel(made.convert("RGB"), (5, 3)) == (255, 255, 255)
        assert made.mode in {"L", "RGB"}


def test_half_transparent_pixels_survive_a_lossless_conversion(workshop: Workshop) -> None:
    image = noise(40, 40).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((40, 40)))
    output = workshop.run(
        "image.convert", encoded(image), "image/png", format="webp", lossless=True
    )
    assert output.facts == {"width": 40, "height": 40, "format": "webp", "alpha": True}
    with Image.open(output.path) as made:
        assert made.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        seen = [(a, b) for a, b in zip(pixels(made), pixels(image), strict=True) if b[3]]
        assert all(a == b for a, b in seen)


def test_alpha_is_laid_on_the_background_that_was_asked_for(workshop: Workshop) -> None:
    source = encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))
    for background, expected in ((None, (255, 255, 255)), ("#0000ff", (0, 0, 254))):
        output = workshop.run(
            "image.convert", source, "image/png", format="jpeg", background=background
        )
        with Image.open(output.path) as made:
            assert pixel(made, (10, 10)) == pytest.approx(expected, abs=3)
        assert output.facts["alpha"] is False


def test_quality_changes_the_size(workshop: Workshop) -> None:
    source = encoded(noise(80, 80))
    for made in ("jpeg", "webp", "avif"):
        sizes = [
            workshop.run("image.convert", source, "image/png", format=made, quality=quality)
            .path.stat()
            .st_size
            for quality in (20, 90)
        ]
        assert sizes[0] < sizes[1]


def test_the_first_frame_of_an_animation_is_taken(workshop: Workshop) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    source = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    output = workshop.run("image.resize", source, "image/gif", width=20)
    with Image.open(output.path) as made:
        assert getattr(made, "n_frames", 1) == 1
        assert pixel(made.convert("RGB"), (5, 5)) == (255, 0, 0)
