"""A disk of its own, small enough to be filled; tests run as root where they need one."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(path: Path, size_mb: int) -> Generator[Path]:
    """Mount a disk of so many MB at `path` while the block runs."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
