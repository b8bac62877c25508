"""QR codes of short links (ISO/IEC 18004), drawn by segno with error correction M."""

import io
from enum import StrEnum
from typing import Any


class QrFormat(StrEnum):
    """The file formats that can be asked for."""

    SVG = "svg"
    PNG = "png"


_MEDIA_TYPES = {QrFormat.SVG: "image/svg+xml", QrFormat.PNG: "image/png"}
QR_RESPONSE: dict[str, Any] = {
    "description": "The image.",
    "content": {
        "image/svg+xml": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
    },
}


def draw_qr(text: str, kind: QrFormat, scale: int) -> tuple[bytes, str]:
    """Draw a text; give the file and its media type. `scale` is pixels for each module."""
    import segno  # noqa: PLC0415  only who asks for a code waits for it

    target = io.BytesIO()
    segno.make(text, error="m", micro=False).save(target, kind=kind.value, scale=scale)
    return target.getvalue(), _MEDIA_TYPES[kind]
