"""Examine the machine: directory, disk, packages, programs, ports and private files."""

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from posthouse.embedded import lockfile, postgres, programs
from posthouse.embedded.errors import EmbeddedError
from posthouse.kernel.confine import measures
from posthouse.operate import ports
from posthouse.operate.environment import DEFAULT_HOST, DEFAULT_PORT
from posthouse.operate.findings import Finding, fail, fine, warn

WARN_FREE = 0.10
FAIL_FREE = 0.05
EXTRAS = {
    "files": ("obstore", "pyvips", "duckdb", "typst", "reportlab", "pypdfium2", "yaml"),
    "geo": ("maxminddb",),
    "otel": ("opentelemetry",),
}
OTHERS_BITS = 0o077


def examine_machine(environ: Mapping[str, str], root: Path) -> list[Finding]:
    """Look at everything that needs no running server."""
    return [
        data_directory(root),
        disk(root),
        *private_files(root),
        running(root),
        *stale_pid(root),
        port(environ, root),
        *server_programs(environ),
        speed(),
        isolation(),
        *extras(),
    ]


def data_directory(root: Path) -> Finding:
    """Whether the data directory can be written, or made."""
    existing = _nearest(root)
    if not existing.is_dir():
        return fail("data directory", f"{existing} is not a directory.", "Choose another: --data.")
    if not os.access(existing, os.W_OK | os.X_OK):
        return fail(
            "data directory",
            f"This user may not write to {existing}.",
            "Run posthouse as its owner, or choose another directory with POSTHOUSE_DATA.",
        )
    is_new = existing != root
    says = f"{root} will be made on the first run." if is_new else f"{root} can be written."
    return fine("data directory", says)


def disk(root: Path) -> Finding:
    """How much of the disk under the data directory is free."""
    usage = shutil.disk_usage(_nearest(root))
    return room(usage.free, usage.total, root)


def room(free_bytes: int, total_bytes: int, root: Path) -> Finding:
    """Judge how much of a disk is free."""
    share = free_bytes / total_bytes
    says = f"{share:.0%} of the disk is free ({free_bytes / 1e9:.1f} GB)."
    do = f"Make room on the disk that holds {root}: below 5 % nothing but redirects works."
    if share < FAIL_FREE:
        return fail("disk", says, do)
    return warn("disk", says, do) if share < WARN_FREE else fine("disk", says)


def private_files(root: Path) -> Iterator[Finding]:
    """Whether the secret and the client's key are closed to others."""
    for name in ("secret", "cli.json"):
        path = root / name
        try:
            mode = path.stat().st_mode & 0o777
        except OSError:
            continue
        if mode & OTHERS_BITS:
            yield fail(name, f"Others can read {path} (mode {mode:o}).", f"Run: chmod 600 {path}")
        else:
            yield fine(name, f"Only its owner can read {path}.")


def running(root: Path) -> Finding:
    """Whether a posthouse runs on this directory."""
    pid = lockfile.holder(root / "lock")
    says = f"Posthouse runs here (pid {pid})." if pid else "Posthouse does not run here now."
    return fine("running", says)


def stale_pid(root: Path) -> Iterator[Finding]:
    """Whether a Postgres runs on the files that no posthouse looks after."""
    files = root / "postgres"
    try:
        first = (files / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return
    if lockfile.holder(root / "lock"):
        return
    if first.isdigit() and postgres.serves(int(first), files):
        yield fail(
            "postgres files",
            f"A Postgres (pid {first}) runs on {files} without a posthouse.",
            f"Stop it before `posthouse up`: kill -INT {first}",
        )
    else:
        yield fine("postgres files", "The last stop was not clean; the next start recovers.")


def port(environ: Mapping[str, str], root: Path) -> Finding:
    """Whether the wanted port is free, and who has it if not."""
    host = environ.get("POSTHOUSE_HOST") or DEFAULT_HOST
    said = environ.get("POSTHOUSE_PORT") or str(DEFAULT_PORT)
    if not said.isdigit():
        return fail("port", f"POSTHOUSE_PORT is {said!r}.", "Give it a number from 1 to 65535.")
    try:
        is_free = ports.is_free(host, int(said))
    except (OSError, OverflowError) as error:
        do = "Choose another POSTHOUSE_HOST or POSTHOUSE_PORT."
        return fail("port", f"Nothing can listen on {host} port {said}: {error}.", do)
    if is_free:
        return fine("port", f"{host} port {said} is free.")
    who = ports.owner(int(said)) or "another program"
    if lockfile.holder(root / "lock"):
        return fine("port", f"{host} port {said} is in use by {who}.")
    do = "`posthouse up` will take the next free one; `posthouse serve` needs another port."
    return warn("port", f"{host} port {said} is taken by {who}.", do)


def server_programs(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which Postgres and Valkey `up` would start."""
    if not environ.get("POSTHOUSE_DATABASE_URL"):
        given = environ.get("POSTHOUSE_POSTGRES_BIN")
        try:
            folder = programs.find_postgres(Path(given) if given else None)
            major = programs.postgres_major(folder)
        except EmbeddedError as error:
            yield fail("postgres program", str(error), f"Run: {programs.INSTALL}")
        else:
            yield _version(major, folder)
    if not environ.get("POSTHOUSE_VALKEY_URL"):
        try:
            yield fine("valkey program", f"{programs.find_valkey()}")
        except EmbeddedError as error:
            yield fail("valkey program", str(error), f"Run: {programs.INSTALL}")


def speed() -> Finding:
    """Whether the fast event loop and HTTP parser are here."""
    missing = [name for name in ("uvloop", "httptools") if not _has(name)]
    if missing:
        names = " ".join(missing)
        return warn("speed", f"{names} cannot be imported.", f"Run: pip install {names}")
    return fine("speed", "uvloop and httptools are here.")


def isolation() -> Finding:
    """How children that work on files are confined on this machine."""
    has = measures()
    missing = [
        name for name in ("landlock", "seccomp") if not any(one.startswith(name) for one in has)
    ]
    if missing:
        return warn(
            "isolation",
            f"Steps that work on files are held by {', '.join(has)} alone.",
            f"Use a kernel with {' and '.join(missing)}; files of strangers are a risk without.",
        )
    return fine("isolation", f"Steps that work on files are held by {', '.join(has)}.")


def extras() -> Iterator[Finding]:
    """Which optional parts are not installed; that is a choice, not a fault."""
    for extra, modules in EXTRAS.items():
        if all(_has(module) for module in modules):
            yield fine(f"extra {extra}", "It is installed.")
        else:
            yield fine(f"extra {extra}", f"Not installed: pip install 'posthouse[{extra}]'")


def _version(major: int, folder: Path) -> Finding:
    if major < programs.OLDEST_POSTGRES:
        return fail(
            "postgres program",
            f"{folder} holds version {major or 'unknown'}.",
            f"Posthouse needs {programs.OLDEST_POSTGRES} or newer.",
        )
    return fine("postgres program", f"Version {major} in {folder}.")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _nearest(root: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    return next(each for each in (root, *root.parents) if each.exists())
