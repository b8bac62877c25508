"""No-op tasks from POST's transaction to their end, against a bare lease table, and imports."""

import asyncio
import resource
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from bench.house import House, open_house
from bench.measure import Row, compare, say
from posthouse.accounts.model import WorkspaceId
from posthouse.accounts.store.users import insert_workspace
from posthouse.catalog.importing import ProductImport
from posthouse.catalog.schemas import ProductIn
from posthouse.catalog.settings import CatalogSettings
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Database, open_database
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.supervise import supervise
from posthouse.kernel.uploads import Form, Mode, Upload
from posthouse.kernel.work import Work, WorkKind
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from posthouse.slices import SLICES
from posthouse.tasks.imports import Imports
from posthouse.tasks.model import NewTask
from posthouse.tasks.service import Tasks

TASKS = 3_000
ROWS = 100_000
ROUNDS = 3
_BATCH = 16
_DEADLINE_S = 300
_SECRET = "a secret for benches only: 7f6e5d4a39281706f5e4d3c2b1a08c1b"  # noqa: S105  of a database that lives a minute


class _Nothing(BaseModel):
    pass


async def _do_nothing(given: _Nothing, work: Work) -> Mapping[str, Any]:
    del given, work
    return {}


async def _build(parts: Parts, doors: Doors) -> Built:
    del parts, doors
    return Built(work=[WorkKind("bench.nothing", _Nothing, _do_nothing, "Do nothing.")])


@asynccontextmanager
async def _product(house: House) -> AsyncGenerator[Runtime]:
    """The product and what its worker runs for tasks."""
    settings = Settings(
        database_url=house.database_url,
        valkey_url=house.valkey_url,
        secret=_SECRET,
        data=Path(house.environ["POSTHOUSE_DATA"]),
        admin_port=0,
    )
    slices = (*SLICES, Slice(name="tasks", build=_build))
    async with open_runtime(settings, slices=slices) as runtime:
        loops = [loop for loop in runtime.worker_loops if loop.name.startswith("tasks.")]
        async with supervise(loops):
            yield runtime


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    ours: list[float] = []
    bare: list[float] = []
    imported: list[float] = []
    plain: list[float] = []
    async with open_house() as house, _product(house) as runtime:
        for number in range(ROUNDS + 1):
            found = await _bare(house), await _ours(runtime)
            if number:  # the first round warms up
                bare.append(found[0])
                ours.append(found[1])
                say(f"tasks {number} of {ROUNDS}: bare {found[0]:,.0f}/s, ours {found[1]:,.0f}/s")
        for number in range(ROUNDS):
            plain.append(await _insert_plainly(runtime))
            imported.append(await _import(runtime))
            say(f"import {number + 1}: plain {plain[-1]:,.0f}/s, ours {imported[-1]:,.0f}/s")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        compare("no-op tasks, of a bare lease table", ours, bare, unit="tasks/s", is_cost=False),
        compare(
            "import, of the same inserts without checks",
            imported,
            plain,
            unit="rows/s",
            is_cost=False,
        ),
        Row(
            name="import, peak memory of the worker",
            value=peak_mb,
            limit=peak_mb,
            ratio=1,
            unit="MB",
            runs=1,
        ),
    ]


async def _ours(runtime: Runtime) -> float:
    owner = Principal(ids.fresh(), "bench", Role.OWNER)
    tasks = cast("Tasks", runtime.services[Tasks])
    begun = time.perf_counter()
    async with runtime.parts.db.begin():
        for _ in range(TASKS):
            await tasks.submit(owner, NewTask("bench.nothing", {}))
    await _until_ended(runtime.parts.db, owner)
    return TASKS / (time.perf_counter() - begun)


async def _until_ended(db: Database, owner: Principal) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            async with db.read() as connection:
                left = await connection.fetchval(
                    "SELECT count(*) FROM tasks WHERE workspace_id = $1 AND finished_at IS NULL",
                    owner.workspace_id,
                )
            if not left:
                return
            await asyncio.sleep(0.02)


async def _bare(house: House) -> float:
    """Insert rows one by one, claim them in batches, end each in a transaction of its own."""
    db = await open_database(house.database_url)
    try:
        async with db.begin() as tx:
            await tx.execute("DROP TABLE IF EXISTS bare_work")
            await tx.execute(
                "CREATE TABLE bare_work (id uuid PRIMARY KEY, state text NOT NULL, "
                "input jsonb NOT NULL, result jsonb)"
            )
        begun = time.perf_counter()
        async with db.begin() as tx:
            for _ in range(TASKS):
                await tx.execute("INSERT INTO bare_work VALUES ($1, 'ready', '{}')", ids.fresh())
        while await _bare_batch(db):
            pass
        return TASKS / (time.perf_counter() - begun)
    finally:
        await db.close()


async def _bare_batch(db: Database) -> int:
    async with db.begin() as tx:
        claimed = await tx.fetch(
            "UPDATE bare_work SET state = 'running' WHERE id IN (SELECT id FROM bare_work "
            "WHERE state = 'ready' LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id",
            _BATCH,
        )

    async def end(work_id: Any) -> None:
        async with db.begin() as tx:
            await tx.execute(
                "UPDATE bare_work SET state = 'completed', result = '{}' WHERE id = $1", work_id
            )

    async with asyncio.TaskGroup() as group:
        for row in claimed:
            group.create_task(end(row["id"]))
    return len(claimed)


async def _owner(runtime: Runtime) -> Principal:
    workspace_id = WorkspaceId(ids.fresh())
    async with runtime.parts.db.begin() as tx:
        await insert_workspace(tx, workspace_id, "bench")
    return Principal(workspace_id, "bench", Role.OWNER)


def _file() -> bytes:
    lines = [
        f"Lamp {number},{number % 900 + 1}.99,home,SKU-{number},{number % 50}"
        for number in range(ROWS)
    ]
    return "\n".join(["name,price,category,sku,stock", *lines]).encode()


async def _import(runtime: Runtime) -> float:
    owner = await _owner(runtime)
    imports = cast("Imports", runtime.services[Imports])
    body = _file()

    async def pieces() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    begun = time.perf_counter()
    upload = Upload(Form.CSV, Mode.ALL, is_dry_run=False, key=None, pieces=pieces())
    task_id, _ = await imports.receive(owner, "products.import", upload)
    await _until_ended(runtime.parts.db, owner)
    took_s = time.perf_counter() - begun
    async with runtime.parts.db.read() as connection:
        state = await connection.fetchval("SELECT state FROM tasks WHERE id = $1", task_id)
    if state != "completed":
        raise RuntimeError(f"the import is {state}")
    return ROWS / took_s


async def _insert_plainly(runtime: Runtime) -> float:
    """The same rows by the same statement, without a file, checks or a task."""
    owner = await _owner(runtime)
    writer = ProductImport(CatalogSettings())
    row = ProductIn.model_validate({"name": "Lamp", "price": "1.99", "category": "home"})
    plain = row.model_dump(mode="json") | {"stock": 1}
    begun = time.perf_counter()
    async with runtime.parts.db.begin() as tx:
        for start in range(0, ROWS, 500):
            numbered = [
                (number, plain | {"name": f"Lamp {number}", "sku": f"SKU-{number}"})
                for number in range(start, start + 500)
            ]
            await writer.write(tx, owner, numbered)
    return ROWS / (time.perf_counter() - begun)
