"""All processors, by the name that recipes use: one explicit list."""

from collections.abc import Mapping

from posthouse.files.processors import (
    document_render,
    document_table,
    document_text,
    document_thumbnail,
    image_convert,
    image_placeholder,
    image_resize,
    table_convert,
    table_profile,
    table_validate,
)
from posthouse.files.processors.protocol import Processor

_ALL: tuple[Processor, ...] = (
    image_resize.PROCESSOR,
    image_convert.PROCESSOR,
    image_placeholder.PROCESSOR,
    document_render.PROCESSOR,
    document_table.PROCESSOR,
    document_thumbnail.PROCESSOR,
    document_text.PROCESSOR,
    table_convert.PROCESSOR,
    table_profile.PROCESSOR,
    table_validate.PROCESSOR,
)


def by_name() -> Mapping[str, Processor]:
    """All processors by their names.

    Raises:
        ValueError: two have one name.
    """
    found = {processor.name: processor for processor in _ALL}
    if len(found) < len(_ALL):
        raise ValueError("two processors have one name")
    return found


PROCESSORS: Mapping[str, Processor] = by_name()
PRELOAD: tuple[str, ...] = tuple(dict.fromkeys(name for one in _ALL for name in one.preload))
