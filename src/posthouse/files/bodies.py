"""What requests say of a file: its bytes, its name, how long it is kept."""

from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.requests import ClientDisconnect

from posthouse.files.errors import UploadCutError
from posthouse.kernel.errors import BodyTimeoutError, FieldProblem, InvalidInputError
from posthouse.kernel.text import tidy_name

_MAX_NAME = 255
_LONGEST_S = 315_360_000  # ten years
_DIGITS = 12
_NAMELESS = "file"


async def body_of(request: Request) -> AsyncGenerator[bytes]:
    """The bytes of a body as they come.

    Raises:
        UploadCutError: the sender went away, or fell silent.
    """
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except (ClientDisconnect, BodyTimeoutError) as error:
        raise UploadCutError from error


def name_of(given: str | None, field: str) -> str:
    """The name of a file: what its sender says, without folders, signs that deceive, or length.

    Raises:
        InvalidInputError: it holds what no text of ours may hold.
    """
    try:
        tidied = tidy_name((given or "").replace("\\", "/").rpartition("/")[2])
    except ValueError as error:
        words = "it holds a NUL or a lone surrogate"
        raise InvalidInputError(
            f"{field}: {words}.", fields=[FieldProblem(field, "invalid-character", words)]
        ) from error
    return _shortened(tidied) if tidied not in {"", ".", ".."} else _NAMELESS


def _shortened(name: str) -> str:
    """Cut a long name in the middle, as its end says what it is."""
    while len(name.encode()) > _MAX_NAME:
        stem, dot, extension = name.rpartition(".")
        if not stem or len(extension) > len(name) // 2:
            name = name[:-1]
        else:
            name = f"{stem[:-1]}{dot}{extension}"
    return name


def expiry_of(given: str | None, field: str) -> int | None:
    """After how many seconds a file is deleted; None: not by itself.

    Raises:
        InvalidInputError: it is not a number of seconds up to ten years.
    """
    if not given:
        return None
    is_number = given.isascii() and given.isdigit() and len(given) <= _DIGITS
    if not is_number or not 0 < int(given) <= _LONGEST_S:
        words = f"give seconds, 1 to {_LONGEST_S}"
        raise InvalidInputError(
            f"{field}: {words}.", fields=[FieldProblem(field, "out-of-range", words)]
        )
    return int(given)
