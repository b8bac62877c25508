"""The small private files of a data directory: the secret, and what our own client needs."""

import json
import os
import secrets
from pathlib import Path
from typing import Any, cast

SECRET_BYTES = 32


def secret(root: Path) -> str:
    """The installation's secret, made on the first run."""
    path = root / "secret"
    if not path.exists():
        write_private(path, secrets.token_hex(SECRET_BYTES))
    return path.read_text(encoding="utf-8").strip()


def remember_client(root: Path, url: str, api_key: str | None) -> None:
    """Write down where the house answers, and the key if there is a new one; keep an old key."""
    path = root / "cli.json"
    known = read_client(path) | {"url": url} | ({"api_key": api_key} if api_key else {})
    write_private(path, json.dumps(known))


def read_client(path: Path) -> dict[str, Any]:
    """What `cli.json` holds; nothing if it is missing or broken."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", known) if isinstance(known, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read; whoever reads it sees the old text or the new one."""
    unfinished = path.with_name(f".{path.name}.new")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    unfinished.replace(path)
