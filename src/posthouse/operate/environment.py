"""What the processes of `posthouse up` are told through their environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from posthouse.embedded import postgres, valkey
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.place import Place
from posthouse.operate import keep, ports

DEFAULT_DATA = Path("posthouse-data")
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_ADMIN_PORT = 9100
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def own_environment() -> dict[str, str]:
    """The environment that we were started with."""
    return dict(os.environ)  # noqa: TID251 - only the settings read it; we hand it to the children


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator asks of `up`. What is None comes from the environment, then a default."""

    data: Path | None = None
    host: str | None = None
    port: int | None = None
    is_quiet: bool = False

    def data_dir(self, environ: Mapping[str, str]) -> Path:
        """The data directory."""
        return self.data or Path(environ.get("POSTHOUSE_DATA") or DEFAULT_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The addresses of one run, and the environment that tells them to the children."""

    host: str
    port: int
    wanted_port: int
    admin_port: int
    public_url: str
    environ: Mapping[str, str]
    has_own_postgres: bool
    has_own_valkey: bool

    @property
    def connect_host(self) -> str:
        """Where we ourselves reach the server."""
        return EVERY_ADDRESS.get(self.host, self.host)

    def worker_environ(self) -> dict[str, str]:
        """The worker's environment: its metrics answer on a port of their own."""
        taken = frozenset({self.port, self.admin_port})
        port = self.admin_port and ports.next_free(DEFAULT_HOST, self.admin_port, but=taken)
        return {**self.environ, "POSTHOUSE_ADMIN_PORT": str(port or 0)}


def furnish(place: Place, options: Options, environ: Mapping[str, str]) -> House:
    """Choose ports, make the secret on a first run, and name the embedded servers.

    Raises:
        EmbeddedError: no port is free, or one is not a number.
    """
    host = options.host or environ.get("POSTHOUSE_HOST") or DEFAULT_HOST
    wanted = options.port or _number(environ, "POSTHOUSE_PORT", DEFAULT_PORT)
    port = _free(host, wanted)
    admin_from = _number(environ, "POSTHOUSE_ADMIN_PORT", DEFAULT_ADMIN_PORT, least=0)
    admin_port = admin_from and _free(DEFAULT_HOST, admin_from, but=port)  # 0: no metrics
    url_host = EVERY_ADDRESS.get(host, host)
    own_url = f"http://[{url_host}]:{port}" if ":" in url_host else f"http://{url_host}:{port}"
    public_url = environ.get("POSTHOUSE_PUBLIC_URL") or own_url
    has_own_postgres = not environ.get("POSTHOUSE_DATABASE_URL")
    has_own_valkey = not environ.get("POSTHOUSE_VALKEY_URL")
    told = {
        "POSTHOUSE_DATA": str(place.root),
        "POSTHOUSE_HOST": host,
        "POSTHOUSE_PORT": str(port),
        "POSTHOUSE_ADMIN_PORT": str(admin_port),
        "POSTHOUSE_PUBLIC_URL": public_url,
        "POSTHOUSE_SECRET": environ.get("POSTHOUSE_SECRET") or keep.secret(place.root),
    }
    if has_own_postgres:
        told["POSTHOUSE_DATABASE_URL"] = postgres.database_url(place.sockets)
    if has_own_valkey:
        told["POSTHOUSE_VALKEY_URL"] = valkey.valkey_url(place.sockets)
    return House(
        host=host,
        port=port,
        wanted_port=wanted,
        admin_port=admin_port,
        public_url=public_url,
        environ={**environ, **told},
        has_own_postgres=has_own_postgres,
        has_own_valkey=has_own_valkey,
    )


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int = 1) -> int:
    said = environ.get(name) or str(default)
    if not said.isdigit() or not least <= int(said) < 65536:  # noqa: PLR2004 - ports end there
        raise EmbeddedError(f"{name} is {said!r}, not a port number from {least} to 65535.")
    return int(said)


def _free(host: str, first: int, *, but: int = 0) -> int:
    try:
        port = ports.next_free(host, first, but=frozenset({but}))
    except OSError as error:
        raise EmbeddedError(
            f"Nothing can listen on {host} port {first} ({error.strerror}). "
            "Choose another with --host and --port."
        ) from error
    if port is None:
        raise EmbeddedError(f"No port from {first} on is free on {host}. Choose another --port.")
    return port
