"""Keep the servers' log files short, and quote their last words in an error."""

import shutil
from pathlib import Path

LIMIT_BYTES = 5_000_000
QUOTED_LINES = 5
QUOTED_BYTES = 4_000


def bound(path: Path) -> None:
    """Move a log that is too long to `<name>.1`. The writer appends, so it need not know."""
    if path.exists() and path.stat().st_size > LIMIT_BYTES:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as file:
            file.truncate(0)


def last_words(path: Path | None, *, since: int = 0) -> str:
    """The last lines of a log after the byte `since`, indented for a message."""
    if path is None or not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(since, path.stat().st_size - QUOTED_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()[-QUOTED_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def size(path: Path | None) -> int:
    """How many bytes are in a log so far."""
    return path.stat().st_size if path and path.exists() else 0
