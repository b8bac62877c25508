"""`image.placeholder`: a ThumbHash and the average colour, to show while an image loads."""

import base64
import json
from collections.abc import Sequence

from posthouse.files.processors import image_loading, thumbhash
from posthouse.files.processors.protocol import Job, Output, Processor, Promised, StepOptions


class ImagePlaceholderOptions(StepOptions):
    """There is nothing to choose."""


def run(job: Job) -> Sequence[Output]:
    """Make one JSON object: thumbhash (base64), width, height, average_color (#rrggbb).

    Raises:
        BadInputError: the image is broken.
        UnsafeInputError: it has too many pixels.
    """
    header = image_loading.read_header(job)
    with image_loading.refusing_what_is_broken(image_loading.engine()):
        side = thumbhash.MAX_SIDE
        image = image_loading.open_upright(job, header, side, side, size="down")
        image = image if image.hasalpha() else image.addalpha()
        rgba = bytes(image.write_to_memory())
    red, green, blue = thumbhash.average_colour(rgba)
    found = {
        "thumbhash": base64.b64encode(thumbhash.encode(image.width, image.height, rgba)).decode(),
        "width": header.width,
        "height": header.height,
        "average_color": f"#{red:02x}{green:02x}{blue:02x}",
    }
    path = job.folder / "placeholder.json"
    path.write_text(json.dumps(found), "utf-8")
    return [Output(path, "application/json", "json", facts=found)]


def promise(options: ImagePlaceholderOptions, media_type: str) -> list[Promised]:
    """Tell the one JSON file."""
    del options, media_type
    return [Promised("", "application/json", "json")]


PROCESSOR = Processor(
    name="image.placeholder",
    summary="A ThumbHash, the size and the average colour of an image, as JSON.",
    version=1,
    options=ImagePlaceholderOptions,
    takes=image_loading.IMAGE_TYPES,
    run=run,
    promise=promise,
    engines=image_loading.engines,
    preload=("pyvips", "posthouse.files.processors.image_warming"),
)
