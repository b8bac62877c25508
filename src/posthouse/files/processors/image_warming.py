"""Imported by the zygote alone: what libvips says of its operations, asked once. No thread starts.

pyvips asks for the arguments of an operation at its first use, which is a tenth of a thumbnail.
"""

from typing import Any

from posthouse.files.processors.image_loading import engine

_USED = (
    "addalpha", "cast", "colourspace", "copy", "embed", "extract_area", "flatten", "gifload",
    "gravity", "heifload", "heifsave", "icc_transform", "jpegload", "jpegsave", "pngload",
    "pngsave", "smartcrop", "thumbnail", "tiffload", "webpload", "webpsave",
)  # fmt: skip

_vips: Any = engine()
for _name in _USED:
    _vips.Introspect.get(_name)
