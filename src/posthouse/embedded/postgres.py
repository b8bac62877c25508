"""The embedded Postgres: a private server on a unix socket, its files in the data directory."""

import asyncio
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from posthouse.embedded import logs, wire
from posthouse.embedded.account import check_has_name
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.lockfile import is_alive
from posthouse.embedded.place import POSTGRES_SOCKET, Place
from posthouse.embedded.process import Command, Process, words_for
from posthouse.embedded.programs import find_postgres, reachable
from posthouse.embedded.supervisor import Child, Supervisor

NAME = "Postgres"
USER = DATABASE = "posthouse"
INITDB_TIMEOUT_S = 120.0
MISSING_DATABASE = "3D000"
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # names the socket
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "jit": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "max_worker_processes": "4",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "30s",
    "autovacuum_vacuum_scale_factor": "0.1",
    "idle_in_transaction_session_timeout": "10s",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
# For tests only: a lost machine loses the data.
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


async def start_postgres(
    supervisor: Supervisor,
    place: Place,
    *,
    bin_dir: Path | None = None,
    durable: bool = True,
) -> str:
    """Start Postgres, making its files and the database on the first run; give its URL.

    Raises:
        EmbeddedError: it is missing, or it did not start.
    """
    server = _Server(place, reachable(find_postgres(bin_dir) / "postgres", place.account), durable)
    await server.make_files()
    await supervisor.start(server.child())
    return database_url(place.sockets)


def database_url(sockets: Path) -> str:
    """The address of the database behind the socket in `sockets`."""
    return f"postgresql://{USER}@/{DATABASE}?host={quote(str(sockets))}&port=5432"


@dataclass(frozen=True, slots=True)
class _Server:
    place: Place
    program: Path
    durable: bool

    def child(self) -> Child:
        files = self.place.seen(self.place.postgres)
        sockets = self.place.seen(self.place.sockets)
        settings = SETTINGS | ({} if self.durable else FAST_SETTINGS)
        settings["unix_socket_directories"] = sockets.name
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Child(
            name=NAME,
            command=Command(
                argv=(str(self.program), "-D", files.name, *options),
                env=ENV,
                account=self.place.account,
                keep_fds=(*files.keep_fds, *sockets.keep_fds),
                parting_signal=signal.SIGINT,
                log_path=self.place.logs / "postgres.log",
            ),
            prepare=self._settle_stale_pid,
            is_ready=self._is_ready,
            stop_signal=signal.SIGINT,  # fast: ends the sessions, then a checkpoint
            hurry_signal=signal.SIGQUIT,  # immediate: the next start recovers from the log
            stop_timeout_s=30.0,
            ready_timeout_s=300.0,  # recovery after a crash reads up to max_wal_size
        )

    async def make_files(self) -> None:
        """Run initdb under a temporary name, so that half-made files are never taken for whole."""
        place = self.place
        if place.postgres.exists():
            place.make_own(place.postgres)  # root may have copied them from a backup
            return
        check_has_name(place.account)
        unfinished = place.root / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        place.make_own(unfinished)
        await self._run_initdb(unfinished)
        unfinished.rename(place.postgres)

    async def _run_initdb(self, folder: Path) -> None:
        files = self.place.seen(folder)
        log_path = self.place.logs / "initdb.log"
        # Collation C: byte order, which no library upgrade changes. The character classes are
        # Unicode's: under C, pg_trgm sees no letters but ASCII's, and lower() leaves them.
        options = ["--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8", "--auth=trust"]
        options += ["--username", USER, *([] if self.durable else ["--no-sync"])]
        command = Command(
            argv=(str(self.program.with_name("initdb")), "-D", files.name, *options),
            env=ENV,
            account=self.place.account,
            keep_fds=files.keep_fds,
            log_path=log_path,
        )
        since = logs.size(log_path)
        process = Process(command)
        try:
            async with asyncio.timeout(INITDB_TIMEOUT_S):
                code = await process.wait()
        finally:
            process.kill()
            await process.wait()
        if code:
            words = logs.last_words(log_path, since=since)
            raise EmbeddedError(f"initdb failed ({words_for(code)}), from {log_path}:{words}")

    async def _is_ready(self) -> bool:
        socket = self.place.sockets / POSTGRES_SOCKET
        try:
            return await wire.query(socket, "SELECT 1", user=USER, database=DATABASE) == [["1"]]
        except wire.AnswerError as error:
            if error.code != MISSING_DATABASE:
                return False
        await wire.query(socket, f"CREATE DATABASE {DATABASE}", user=USER, database="postgres")
        return False

    async def _settle_stale_pid(self) -> None:
        """Let Postgres start where a pid file names a living process that is something else.

        Postgres trusts a living pid and refuses. It does not mind its own parent, so that is what
        we write; the rest of the file stays, by which Postgres finds backends that still live.

        Raises:
            EmbeddedError: a Postgres that we did not start runs on these files.
        """
        path = self.place.postgres / "postmaster.pid"
        try:
            first, newline, rest = path.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return
        pid = int(first) if first.strip().isdigit() else 0
        if pid and serves(pid, self.place.postgres):
            raise EmbeddedError(
                f"A Postgres (pid {pid}) already runs on {self.place.postgres}, and this "
                f"posthouse did not start it. Stop it first: kill -INT {pid}"
            )
        if pid and not is_alive(pid):
            return  # Postgres sees to that itself
        path.write_text(f"{os.getpid()}{newline}{rest}", encoding="utf-8")


def serves(pid: int, files: Path) -> bool:
    """Whether the process `pid` is a living Postgres whose files are `files`."""
    proc = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():
        return _is_named_postgres(pid)
    try:
        is_postgres = (proc / "comm").read_text(encoding="utf-8").startswith("postgres")
        return is_postgres and (proc / "cwd").resolve(strict=True) == files.resolve()
    except OSError:
        return False


def _is_named_postgres(pid: int) -> bool:
    argv = ["ps", "-o", "comm=", "-p", str(pid)]
    done = subprocess.run(  # noqa: S603 - fixed words and a number
        argv, capture_output=True, text=True, timeout=5, check=False
    )
    return "postgres" in done.stdout
