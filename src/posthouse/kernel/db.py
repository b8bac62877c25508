"""Postgres: one pool, short transactions, and the only place that commits.

`begin()` commits when its block ends and joins a transaction that is already open in this
task, so a service method can be used alone or inside a larger one. Waiting for a connection is
limited by admission: beyond a short queue the caller hears 503 instead of a pool timeout.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import from_json, to_json

from posthouse.kernel.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    OverloadedError,
    PosthouseError,
    StorageFullError,
)

if TYPE_CHECKING:
    Tx: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    # asyncpg's classes take no parameters at run time.
    Tx = asyncpg.Connection
Row = asyncpg.Record

UniqueViolationError = asyncpg.UniqueViolationError
ForeignKeyViolationError = asyncpg.ForeignKeyViolationError

# What a driver or a server says when Postgres is away, starting or stopping.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that died between two statements says this
    ConnectionError,
    OSError,
    TimeoutError,
)


def translate(error: BaseException) -> PosthouseError | None:
    """Name a failure of the database in our terms, or give None for any other error."""
    if isinstance(error, asyncpg.QueryCanceledError | asyncpg.LockNotAvailableError):
        return DatabaseBusyError(retry_after_s=1)
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFullError()
    if isinstance(error, _AWAY):
        return DatabaseUnavailableError(retry_after_s=2)
    return None


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """How long things may take, in seconds, and how many connections there are.

    `urgent` of the connections are kept for those who follow links: a busy API does not stop them.
    """

    connections: int = 16
    urgent: int = 2
    connect_s: float = 2.0
    statement_s: float = 5.0
    lock_s: float = 1.0
    queue_s: float = 1.0
    waiting: int = 128
    idle_in_transaction_s: float = 10.0

    def server_settings(self) -> dict[str, str]:
        """The same limits as Postgres enforces them on each connection."""
        return {
            "application_name": "posthouse",
            "timezone": "UTC",
            "statement_timeout": f"{self.statement_s * 1000:.0f}",
            "lock_timeout": f"{self.lock_s * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{self.idle_in_transaction_s * 1000:.0f}",
            "jit": "off",
        }


def _encode_jsonb(value: Any) -> bytes:
    # A text is JSON already: PgQueuer, which shares our connections, writes its own.
    return b"\x01" + (value.encode() if isinstance(value, str) else to_json(value))


async def _prepare_connection(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=_encode_jsonb,
        decoder=lambda data: from_json(data[1:]),
    )


@dataclass(slots=True)
class _OpenTransaction:
    connection: Tx
    after_commit: list[Callable[[], Awaitable[None]]] = field(
        default_factory=list[Callable[[], Awaitable[None]]]
    )


@dataclass(slots=True)
class Database:
    """The pool and the transactions on it. Made by `open_database`."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    limits: DatabaseLimits
    sessions: set[int]
    _seats: asyncio.Semaphore = field(init=False)
    _urgent_seats: asyncio.Semaphore = field(init=False)
    _open: ContextVar[_OpenTransaction | None] = field(init=False)
    _waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._seats = asyncio.Semaphore(max(1, self.limits.connections - self.limits.urgent))
        self._urgent_seats = asyncio.Semaphore(max(1, self.limits.urgent))
        self._open = ContextVar("open_transaction", default=None)

    @asynccontextmanager
    async def begin(self, *, is_urgent: bool = False) -> AsyncGenerator[Tx]:
        """Open a transaction and commit it when the block ends; join one that is open already.

        Raises:
            OverloadedError: no connection came free within the queue's limit.
            DatabaseUnavailableError: Postgres is away; nothing was changed.
            DatabaseBusyError: a statement or a lock took too long; nothing was changed.
        """
        joined = self._open.get()
        if joined is not None:
            yield joined.connection
            return
        async with _Loan(self, is_urgent=is_urgent) as connection:
            opened = _OpenTransaction(connection)
            token = self._open.set(opened)
            try:
                async with connection.transaction():
                    yield connection
            finally:
                self._open.reset(token)
        for callback in opened.after_commit:
            await callback()

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Tx]:
        """Open a transaction whose statements all see one moment; join one that is open already.

        Raises:
            OverloadedError: no connection came free within the queue's limit.
            DatabaseUnavailableError: Postgres is away.
        """
        is_first = not self.is_open
        async with self.begin() as tx:
            if is_first:
                await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield tx

    @property
    def is_open(self) -> bool:
        """Whether this task is in a transaction."""
        return self._open.get() is not None

    def after_commit(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back once the outermost open transaction has committed, not if it fails.

        For hints such as dropping a cache entry; what must happen is an event or a job.

        Raises:
            RuntimeError: no transaction is open.
        """
        opened = self._open.get()
        if opened is None:
            raise RuntimeError("after_commit outside of a transaction")
        opened.after_commit.append(callback)

    def alone(self) -> "AbstractAsyncContextManager[Tx]":
        """Lend a connection for statements each of which is a transaction of its own.

        It saves two trips to the database for one statement, and it joins no open transaction.

        Raises:
            OverloadedError: no connection came free within the queue's limit.
            DatabaseUnavailableError: Postgres is away.
        """
        return _Loan(self, is_urgent=False)

    def read(self, *, is_urgent: bool = False) -> "AbstractAsyncContextManager[Tx]":
        """Lend a connection for single statements that change nothing.

        Raises:
            OverloadedError: no connection came free within the queue's limit.
            DatabaseUnavailableError: Postgres is away.
        """
        joined = self._open.get()
        return nullcontext(joined.connection) if joined else _Loan(self, is_urgent=is_urgent)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Tx]:
        """Lend a connection for what outlives a transaction, such as a lock of the session.

        Raises:
            OverloadedError: no connection came free within the queue's limit.
            DatabaseUnavailableError: Postgres is away.
        """
        async with _Loan(self, is_urgent=False) as connection:
            self.sessions.add(connection.get_server_pid())
            yield connection

    async def take_seat(self, *, is_urgent: bool) -> asyncio.Semaphore:
        """Wait for the right to one connection, unless too many wait already.

        Raises:
            OverloadedError: the queue is full, or nothing came free in time.
        """
        seats = self._urgent_seats if is_urgent and self._seats.locked() else self._seats
        if not seats.locked():
            await seats.acquire()  # does not wait, so it needs no limit either
            return seats
        if self._waiting >= self.limits.waiting:
            raise OverloadedError(retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.queue_s):
                await seats.acquire()
        except TimeoutError as error:
            raise OverloadedError(retry_after_s=1) from error
        finally:
            self._waiting -= 1
        return seats

    async def close(self) -> None:
        """Close the pool; connections still in use after two seconds are cut."""
        try:
            async with asyncio.timeout(2):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()


@dataclass(slots=True)
class _Loan:
    """One connection for the length of a block, and the errors of the block in our terms."""

    db: Database
    is_urgent: bool
    _seats: asyncio.Semaphore = field(init=False)
    _connection: "PoolConnectionProxy[asyncpg.Record]" = field(init=False)

    async def __aenter__(self) -> Tx:
        self._seats = await self.db.take_seat(is_urgent=self.is_urgent)
        try:
            # A seat is a connection, so there is nothing to wait for; connecting has its own limit.
            self._connection = await self.db.pool.acquire()
        except BaseException as error:
            self._seats.release()
            _raise_ours(error)
            raise
        return self._connection

    async def __aexit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.db.pool.release(self._connection)
        except Exception as failed:
            _raise_ours(error or failed)
            raise
        finally:
            self._seats.release()
        _raise_ours(error)


def _raise_ours(error: BaseException | None) -> None:
    ours = None if error is None or isinstance(error, PosthouseError) else translate(error)
    if ours is not None:
        raise ours from error


async def open_database(url: str, limits: DatabaseLimits | None = None) -> Database:
    """Connect to Postgres.

    Raises:
        DatabaseUnavailableError: there is no answer, or the address or the credentials are wrong.
    """
    limits = limits or DatabaseLimits()
    sessions: set[int] = set()

    async def clean(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        # The driver would ask Postgres to forget each user's session, at the price of a second
        # statement for each read. Ours leave none, but for those who said so.
        if connection.get_server_pid() in sessions:
            sessions.discard(connection.get_server_pid())
            await connection.execute(connection.get_reset_query())

    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=limits.connections,
            timeout=limits.connect_s,
            command_timeout=limits.statement_s + 5,
            max_inactive_connection_lifetime=300,
            server_settings=limits.server_settings(),
            init=_prepare_connection,
            reset=clean,
        )
    except (asyncpg.PostgresError, *_AWAY) as error:
        raise DatabaseUnavailableError(f"Postgres: {error}") from error
    return Database(pool, limits, sessions)


def changed_rows(status: str) -> int:
    """How many rows a statement changed, from its command tag such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])


JsonObject: TypeAlias = Mapping[str, Any]
