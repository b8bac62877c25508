"""The HTTP process as operators run it, on servers that a test has already."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posthouse.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Live:
    """A process of `posthouse serve`, and where it listens."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def live_server(settings: Settings, *, log: Path | None = None, **changes: str) -> Generator[str]:
    """Run `posthouse serve` in a process of its own; give its address."""
    with live_process(settings, log=log, **changes) as live:
        yield live.url


@contextmanager
def live_process(settings: Settings, *, log: Path | None = None, **changes: str) -> Generator[Live]:
    """Run `posthouse serve` in a process that may be killed."""
    port = free_port()
    environ = {
        **os.environ,
        "POSTHOUSE_DATA": str(settings.data),
        "POSTHOUSE_DATABASE_URL": settings.database_url,
        "POSTHOUSE_VALKEY_URL": settings.valkey_url,
        "POSTHOUSE_SECRET": settings.secret,
        "POSTHOUSE_PORT": str(port),
        "POSTHOUSE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "POSTHOUSE_ADMIN_PORT": "0",
        "POSTHOUSE_LOG_LEVEL": "error",
        "POSTHOUSE_STOP_GRACE_S": "0",
        "POSTHOUSE_FILES_LEAST_FREE": "0",
        "POSTHOUSE_RATE_PER_S": "100000",
        "POSTHOUSE_RATE_BURST": "100000",
        "POSTHOUSE_LINKS_SHORTEN_PER_S": "100000",
        "POSTHOUSE_LINKS_SHORTEN_BURST": "100000",
        "POSTHOUSE_ACCOUNTS_LOGIN_PER_MINUTE_ADDRESS": "100000",
        **changes,
    }
    stderr = log.open("wb") if log else None
    process = subprocess.Popen(
        [sys.executable, "-m", "posthouse", "serve"], env=environ, stderr=stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                    break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"serve ended with {process.returncode}") from None
                time.sleep(0.1)
        yield Live(url, process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if stderr:
            stderr.close()
