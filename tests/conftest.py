"""The product in one process, on a Postgres and a Valkey of its own, for each test process."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from posthouse.app import create_app
from posthouse.embedded import Endpoints, embedded_servers
from posthouse.kernel.edge import App
from posthouse.kernel.supervise import Loop, supervise
from posthouse.operate.migrate import migrate
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.worker import work
from tests.make import Maker

SECRET = "a secret for tests only: 8c1b7f6e5d4a39281706f5e4d3c2b1a0"

# A developer's own environment must not reach the tests.
for name in [name for name in os.environ if name.startswith("POSTHOUSE_")]:
    del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", choices=["quick", "long"], default="quick")
    parser.addoption("--seed", type=int, default=None, help="The seed of the chaos tests.")


@pytest.fixture(scope="session")
def scratch() -> Generator[Path]:
    """A folder that the database's user may enter, with a short path for sockets."""
    with tempfile.TemporaryDirectory(prefix="ph-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
async def servers(scratch: Path) -> AsyncGenerator[Endpoints]:
    async with embedded_servers(scratch / "data", durable=False) as endpoints:
        await migrate(endpoints.database_url)
        yield endpoints


@pytest.fixture(scope="session")
def settings(servers: Endpoints, scratch: Path) -> Settings:
    """Settings with limits that no test meets by accident."""
    return Settings(
        data=scratch,
        database_url=servers.database_url,
        valkey_url=servers.valkey_url,
        secret=SECRET,
        rate_per_s=100_000,
        rate_burst=100_000,
        admin_port=0,
        files={"least_free": 0},  # type: ignore[arg-type]  whatever disk this machine has
        notifications={  # type: ignore[arg-type]  everything on loopback, and nothing waits long
            "private_providers": True,
            "lease_s": 2,
            "sending_s": 3,
            "doubt_s": 0.3,
            "retry_s": 0.5,
            "max_attempts": 4,
        },
        links={  # type: ignore[arg-type]  pydantic reads it
            "shorten_per_s": 100_000,
            "shorten_burst": 100_000,
            "unknown_per_minute": 100_000,
            "preview_per_minute": 100_000,
            "hosts": ["go.example"],
        },
    )


@pytest.fixture(scope="session")
async def runtime(settings: Settings) -> AsyncGenerator[Runtime]:
    """An open runtime whose background loops and worker run as they do in production."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(open_runtime(settings))
        worker = Loop("worker", lambda: work(runtime, stop))
        await stack.enter_async_context(supervise([*runtime.loops, worker]))
        yield runtime
        stop.set()


@pytest.fixture(scope="session")
def app(runtime: Runtime) -> App:
    return create_app(runtime)


@pytest.fixture
async def make(runtime: Runtime) -> Maker:
    return Maker(runtime)


@pytest.fixture
async def client(app: App, make: Maker) -> AsyncGenerator[httpx.AsyncClient]:
    """A client with the key of an owner of a workspace that no other test has."""
    key = await make.key()
    async with client_of(app, key) as client:
        yield client


@pytest.fixture
async def stranger(app: App) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without credentials."""
    async with client_of(app) as client:
        yield client


def client_of(app: App, key: str | None = None, *, host: str = "127.0.0.1") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url=f"http://{host}",
        headers=headers,
        timeout=30,
    )
