"""Where an installation keeps its things: the data directory, its lock and its sockets."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.embedded.account import Account, server_account
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.lockfile import DataLock, lock

SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less its closing zero
POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder as a server process names it, and what that process inherits to be able to."""

    name: str
    keep_fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A locked data directory and the folders in it, all private."""

    root: Path
    sockets: Path
    account: Account | None
    lock: DataLock
    _opened: list[int] = field(default_factory=list[int])

    @property
    def postgres(self) -> Path:
        """Postgres's own files."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.root / "valkey"

    @property
    def logs(self) -> Path:
        """What the servers say."""
        return self.root / "logs"

    def make_own(self, path: Path) -> None:
        """Make a private folder that belongs, with all in it, to the servers' account."""
        path.mkdir(mode=0o700, exist_ok=True)
        if self.account and path.stat().st_uid != self.account.uid:
            self.account.own(path)

    def seen(self, folder: Path) -> Seen:
        """Name `folder` so that the servers' account can reach it.

        That account may not pass the folders above ours (/root has mode 0700), and their modes are
        not ours to change. An open descriptor needs no passage: Linux resolves /proc/self/fd/N
        straight to the folder.
        """
        if self.account is None or sys.platform != "linux":
            return Seen(str(folder), (self.lock.fd,))
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._opened.append(fd)
        return Seen(f"/proc/self/fd/{fd}", (self.lock.fd, fd))

    def close(self) -> None:
        """Give back the lock and every open folder."""
        while self._opened:
            os.close(self._opened.pop())
        self.lock.release()


@asynccontextmanager
async def open_place(root: Path) -> AsyncGenerator[Place]:
    """Make the data directory if need be, and hold its lock until the end of the block.

    Raises:
        EmbeddedError: another posthouse runs here, or the directory cannot be used.
    """
    root = _make_root(root)
    held = await lock(root / "lock")
    sockets = None
    try:
        account = server_account(root / "postgres")
        (root / "logs").mkdir(mode=0o700, exist_ok=True)
        sockets = _make_sockets(root, account)
        place = Place(root, sockets, account, held)
    except BaseException:
        held.release()
        raise
    try:
        yield place
    finally:
        if sockets.parent != root:
            shutil.rmtree(sockets, ignore_errors=True)
        place.close()


def _make_root(root: Path) -> Path:
    root = root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "no permission to write there")
    except OSError as error:
        raise EmbeddedError(
            f"{root} cannot be used as the data directory ({error.strerror}). "
            "Choose another with --data or POSTHOUSE_DATA."
        ) from error
    return root


def socket_folder(root: Path) -> Path:
    """Where the sockets of the data directory `root` are."""
    record = root / "sockets"
    return Path(record.read_text(encoding="utf-8")) if record.exists() else root / "run"


def _make_sockets(root: Path, account: Account | None) -> Path:
    """Make a fresh folder for the sockets; under the temporary folder if the path is too long."""
    record = root / "sockets"
    if record.exists():  # left by a parent that was killed
        _remove_private(Path(record.read_text(encoding="utf-8")))
        record.unlink()
    folder = root / "run"
    if _fits(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = _make_short()
        record.write_text(str(folder), encoding="utf-8")
    for stale in folder.iterdir():  # a socket's lock file may name a pid that is used again
        stale.unlink()
    if account:
        account.own(folder)
    return folder


def _make_short() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="posthouse-", dir=parent))
            if _fits(folder):
                return folder
            folder.rmdir()
    raise EmbeddedError(
        f"A socket's path may have {SOCKET_PATH_BYTES} bytes, and neither the data directory nor "
        "the temporary directory is short enough. Choose a shorter one with --data."
    )


def _remove_private(folder: Path) -> None:
    """Remove a folder that we once made in the temporary folder, unless it is not ours any more."""
    with contextlib.suppress(OSError):
        if folder.name.startswith("posthouse-") and not folder.is_symlink():
            shutil.rmtree(folder)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / POSTGRES_SOCKET)) <= SOCKET_PATH_BYTES
