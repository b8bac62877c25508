"""Find a free port, and say who has a port that is not."""

import errno
import socket
from pathlib import Path

TRIES = 100
LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now.

    Raises:
        OSError: `host` is not an address of this machine, or the port needs a right that we lack.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def next_free(host: str, first: int, *, but: frozenset[int] = frozenset()) -> int | None:
    """The first free port from `first` on, among a hundred; None if there is none.

    Raises:
        OSError: nothing can listen on `host`.
    """
    last = min(first + TRIES, 65536)
    return next((p for p in range(first, last) if p not in but and is_free(host, p)), None)


def owner(port: int) -> str | None:
    """Who listens on a TCP port, as `name (pid N)`, where /proc tells us."""
    inodes = {
        fields[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in _rows(Path(table))
        if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port
    }
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in sockets:
                process = link.parent.parent
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f"{name} (pid {process.name})"
        except OSError:
            continue
    return None


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return []
