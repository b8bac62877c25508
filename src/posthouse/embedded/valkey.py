"""The embedded Valkey: cache, limits and the click stream on a private unix socket."""

import signal
import time
from pathlib import Path

from posthouse.embedded import logs, wire
from posthouse.embedded.place import VALKEY_SOCKET, Place
from posthouse.embedded.process import Command
from posthouse.embedded.programs import find_valkey, reachable
from posthouse.embedded.supervisor import Child, Supervisor

NAME = "Valkey"
BROKEN = "Bad file format reading the append only file"
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "16mb",
    "maxmemory": "256mb",
    "maxmemory-policy": "volatile-lru",  # what has no time to live, the clicks, is never evicted
    "loglevel": "notice",
    "always-show-logo": "no",
}


async def start_valkey(supervisor: Supervisor, place: Place, *, durable: bool = True) -> str:
    """Start Valkey on the data directory's append-only file; give its URL.

    Raises:
        EmbeddedError: it is missing, or it did not start.
    """
    program = reachable(find_valkey(), place.account)
    place.make_own(place.valkey)
    socket = place.sockets / VALKEY_SOCKET
    log_path = place.logs / "valkey.log"

    async def prepare() -> None:
        _set_broken_aside(place.valkey, log_path)

    async def is_ready() -> bool:
        return await wire.ping(socket)

    files, sockets = place.seen(place.valkey), place.seen(place.sockets)
    options = OPTIONS | {"dir": files.name, "unixsocket": f"{sockets.name}/{VALKEY_SOCKET}"}
    if not durable:
        options["appendfsync"] = "no"
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = Command(
        argv=(str(program), *words),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        account=place.account,
        keep_fds=(*files.keep_fds, *sockets.keep_fds),
        parting_signal=signal.SIGTERM,
        log_path=log_path,
    )
    child = Child(
        name=NAME, command=command, prepare=prepare, is_ready=is_ready, stop_timeout_s=10.0
    )
    await supervisor.start(child)
    return valkey_url(place.sockets)


def valkey_url(sockets: Path) -> str:
    """The address of the Valkey behind the socket in `sockets`."""
    return f"unix://{sockets / VALKEY_SOCKET}"


def _set_broken_aside(files: Path, log_path: Path) -> None:
    """Start empty where the last start could not read its file: only what may vanish is in it."""
    if BROKEN in logs.last_words(log_path):
        (files / "appendonlydir").rename(files / f"appendonlydir.broken-{int(time.time())}")
