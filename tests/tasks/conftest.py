"""A second installation on the same servers, with the kinds of work that tests need."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import httpx
import pytest

from posthouse.app import create_app
from posthouse.embedded import Endpoints
from posthouse.kernel.supervise import Loop, supervise
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.slices import SLICES
from posthouse.worker import work
from tests.conftest import client_of
from tests.databases import own_database
from tests.make import Maker
from tests.tasks.probe import PROBE


@pytest.fixture(scope="session")
async def probed(settings: Settings, servers: Endpoints) -> AsyncGenerator[Runtime]:
    """The product with the probe's kinds, and a worker that serves them.

    It lives on, so it has a database of its own: it would take the work of other tests.
    """
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(own_database(servers.database_url))
        tasks = settings.tasks.model_copy(update={"cancel_grace_s": 1.0})
        changed = settings.model_copy(update={"database_url": url, "tasks": tasks})
        runtime = await stack.enter_async_context(open_runtime(changed, slices=(*SLICES, PROBE)))
        runtime.parts.sandbox.environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        async with runtime.parts.db.begin() as tx:
            # In a schema of its own: the product's must be what its tables say.
            await tx.execute("CREATE SCHEMA IF NOT EXISTS probe")
            await tx.execute(
                "CREATE TABLE IF NOT EXISTS probe.said "
                "(task_id uuid NOT NULL, workspace_id uuid NOT NULL, words text NOT NULL)"
            )
        worker = Loop("worker", lambda: work(runtime, stop))
        await stack.enter_async_context(supervise([worker]))
        yield runtime
        stop.set()


@pytest.fixture
async def maker(probed: Runtime) -> Maker:
    return Maker(probed)


@pytest.fixture
async def api(probed: Runtime, maker: Maker) -> AsyncGenerator[httpx.AsyncClient]:
    """A client with the key of an owner of a workspace that no other test has."""
    async with client_of(create_app(probed), await maker.key()) as client:
        yield client
