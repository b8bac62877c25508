"""A stored file is what was sent, whatever is killed, fails or is full (promise P10)."""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest

from posthouse.app import create_app
from posthouse.files.sweeping import Sweeping
from posthouse.kernel.blobs import Blobs, ObjectBlobs
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from tests.chaos.conftest import Chaos
from tests.chaos.flaky import FlakyBlobs
from tests.chaos.house import HTTP, SECRET, House, open_house
from tests.chaos.senders import UPLOAD, Senders
from tests.chaos.stored import assert_kept
from tests.conftest import client_of
from tests.disks import small_disk
from tests.live import live_server
from tests.make import Maker

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENTS = 8


@pytest.fixture
async def files_house() -> AsyncGenerator[House]:
    folder = Path(tempfile.mkdtemp(prefix="ph-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    async with open_house(
        folder / "data",
        POSTHOUSE_FILES_LEAST_FREE="0",
        POSTHOUSE_FILES_DOWNLOADS_PER_S="100000",
        POSTHOUSE_FILES_DOWNLOADS_BURST="100000",
    ) as house:
        yield house
        print(house.tail())  # noqa: T201  shown with a failure
    shutil.rmtree(folder)


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "disk", 5) as path:
        yield path


@asynccontextmanager
async def beside(settings: Settings, blobs: Blobs | None = None) -> AsyncGenerator[Runtime]:
    """A runtime on the same servers, to whom bytes that no row knows are old after a second."""
    chosen = settings.files.model_copy(
        update={
            "orphan_s": 1, "least_free": 0, "downloads_per_s": 100_000.0,
            "downloads_burst": 100_000,
        }
    )  # fmt: skip
    async with open_runtime(settings.model_copy(update={"files": chosen}), blobs=blobs) as runtime:
        yield runtime


async def send_all(senders: Senders, count: int) -> None:
    """Send so many files by clients that work at once."""
    async with asyncio.TaskGroup() as group:
        for client in range(CLIENTS):
            group.create_task(send_each(senders, range(client, count, CLIENTS)))


async def send_each(senders: Senders, numbers: range) -> None:
    for number in numbers:
        await senders.send(number)


async def test_what_was_accepted_outlives_the_death_of_http_processes(
    files_house: House, chaos: Chaos
) -> None:
    house, dice = files_house, random.Random(chaos.seed)
    count, kills = int(chaos.pick(100, 1000)), int(chaos.pick(4, 25))
    authorized = {"Authorization": f"Bearer {house.key}"}

    def connect() -> httpx.AsyncClient:
        port = house.ports[dice.choice(HTTP)]
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=authorized, timeout=20
        )

    senders = Senders(connect, chaos.seed)

    async def kill() -> None:
        for turn in range(kills):
            goal = count * turn // kills
            while len(senders.accepted) < goal:
                await asyncio.sleep(0.01)
            await asyncio.sleep(dice.random() * 0.2)
            await house.restart(HTTP[turn % len(HTTP)])

    async with asyncio.timeout(900), asyncio.TaskGroup() as group:
        group.create_task(kill())
        group.create_task(send_all(senders, count))
    assert len(senders.accepted) == count
    assert senders.answers["cut"], "no kill met a request"
    settings = Settings(
        data=house.place.root,
        database_url=house.database_url,
        valkey_url=house.valkey_url,
        secret=SECRET,
        public_url=house.environ["POSTHOUSE_PUBLIC_URL"],
    )
    async with beside(settings) as runtime, client_at(house) as client:
        await assert_kept(runtime, client, senders, house.place.root / "blobs")
    print(f"seed {chaos.seed}: {kills} kills, {dict(senders.answers)}")  # noqa: T201


def client_at(house: House) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{house.ports[HTTP[0]]}",
        headers={"Authorization": f"Bearer {house.key}"},
        timeout=20,
    )


async def test_what_was_accepted_outlives_a_store_that_fails(
    settings: Settings, tmp_path: Path, chaos: Chaos
) -> None:
    blobs = FlakyBlobs(ObjectBlobs(tmp_path.as_uri()), random.Random(chaos.seed), 0.2)
    async with beside(settings, blobs) as runtime:
        await forget_files(runtime)
        app, key = create_app(runtime), await Maker(runtime).key()
        senders = Senders(lambda: client_of(app, key), chaos.seed)
        count = int(chaos.pick(100, 1000))
        async with asyncio.timeout(900):
            await send_all(senders, count)
        assert len(senders.accepted) == count
        assert min(blobs.failed[what] for what in ("write midway", "write after its end")) > 0
        blobs.share = 0
        async with client_of(app, key) as client:
            await assert_kept(runtime, client, senders, tmp_path)
    print(f"seed {chaos.seed}: {dict(blobs.failed)}, {dict(senders.answers)}")  # noqa: T201


async def test_a_full_disk_is_said_to_be_full_and_loses_nothing(
    settings: Settings, small: Path, chaos: Chaos
) -> None:
    blobs = ObjectBlobs((small / "blobs").as_uri())
    async with beside(settings, blobs) as runtime:
        await forget_files(runtime)
        key = await Maker(runtime).key()
        with live_server(settings, POSTHOUSE_BLOBS_URL=blobs.url) as base:

            def connect() -> httpx.AsyncClient:
                headers = {"Authorization": f"Bearer {key}"}
                return httpx.AsyncClient(base_url=base, headers=headers, timeout=20)

            senders = Senders(connect, chaos.seed, gives_up_when_full=True)
            await send_all(senders, int(chaos.pick(100, 1000)))
            refused = sum(many for what, many in senders.answers.items() if what.endswith(" 507"))
            kept = len(senders.accepted)
            assert refused
            assert kept
            async with connect() as client:
                await assert_kept(runtime, client, senders, small / "blobs")
                await assert_there_is_room_again(runtime, client, senders)
    print(f"seed {chaos.seed}: {kept} kept, {refused} times refused")  # noqa: T201


async def assert_there_is_room_again(
    runtime: Runtime, client: httpx.AsyncClient, senders: Senders
) -> None:
    """What is deleted makes room."""
    large, kept = b"a,b\n" + b"1" * 2_500_000, list(senders.accepted)
    while (full := await client.put(UPLOAD, content=large)).status_code == 202:
        kept.append(full.json()["job_id"])
        large += b"1"  # another content
    assert (full.status_code, full.json()["code"]) == (507, "storage-full")
    for file_id in kept:
        assert (await client.delete(f"/api/v1/files/{file_id}")).status_code == 204
    sweeping = cast("Sweeping", runtime.services[Sweeping])
    await sweeping.sweep()
    # The worker of other tests may have been first, and knows another store than this one.
    await replace(sweeping, orphan_s=0).sweep_orphans()
    assert (await client.put(UPLOAD, content=large)).status_code == 202


async def forget_files(runtime: Runtime) -> None:
    """Forget the files of other tests, whose bytes are in another store."""
    async with runtime.parts.db.begin() as tx:
        await tx.execute("DELETE FROM files")
        await tx.execute("DELETE FROM uploads")
        await tx.execute("DELETE FROM made_outputs")
        await tx.execute("DELETE FROM blobs")
        await tx.execute("DELETE FROM file_usage")
