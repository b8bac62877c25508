"""Structured logs: one JSON object a line, with the trace id, without secrets or addresses.

The text of a database error repeats the row it failed on, so of exceptions only the type and
the places are written, never the message of one that we did not write ourselves.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from typing_extensions import override

from posthouse.kernel import trace
from posthouse.kernel.errors import PosthouseError

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record and its `extra` as one line of JSON."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Give the line without its end."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace_id := trace.trace_id():
            line["trace_id"] = trace_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        try:
            return to_json(line, fallback=str).decode()
        except ValueError:  # half a character, or bytes that are no text
            return json.dumps(line, default=str)


def describe(error: BaseException) -> dict[str, Any]:
    """Say where an error came from without repeating data."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    said: dict[str, Any] = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames
        ],
    }
    if isinstance(error, PosthouseError):
        said["code"] = error.code
    if error.__cause__ is not None:
        said["cause"] = describe(error.__cause__)
    return said


def configure(level: str) -> None:
    """Send all logs of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Facts that no line shows.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their lines repeat ours or carry data.
    for name in (
        "uvicorn.access",
        "uvicorn.error",
        "httpcore",
        "httpx",
        "asyncio",
        "alembic.runtime.plugins",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pgqueuer").setLevel(logging.ERROR)
