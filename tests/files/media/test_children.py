"""Every processor works in a child with its limits, and a child that fails harms no other."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from posthouse.files.processors import PRELOAD, PROCESSORS, document_template
from posthouse.files.processors.protocol import MIB
from posthouse.kernel.sandbox import (
    ChildCrashedError,
    ChildMemoryError,
    ChildTimeoutError,
    Reach,
    Sandbox,
    SandboxLimits,
    plain_environment,
)
from tests.files.media.jobs import CORPORA
from tests.files.media.pictures import encoded, noise, picture

RUN = "posthouse.files.processors.child:run"
HERE = "tests.files.media.sandboxed"
PHOTO = CORPORA / "exif-orientation" / "Landscape_6.jpg"
OURS = ("posthouse.files.processors.child", HERE)


@pytest.fixture(scope="module")
async def sandbox() -> AsyncGenerator[Sandbox]:
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    sandbox = Sandbox((*OURS, *PRELOAD), at_once=4, environment=plain_environment() | paths)
    yield sandbox
    sandbox.close()


def order(folder: Path, use: str, source: Path | bytes, media_type: str, /, **options: Any) -> Any:
    folder.mkdir()
    if isinstance(source, bytes):
        path = folder / "source"
        path.write_bytes(source)
        source = path
    return {
        "use": use,
        "source": str(source),
        "media_type": media_type,
        "filename": "x",
        "folder": str(folder),
        "options": options,
        "memory_bytes": PROCESSORS[use].limits.memory_bytes,
    }


def limits_of(use: str, **other: Any) -> SandboxLimits:
    limits = PROCESSORS[use].limits
    given: dict[str, Any] = {
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "written_bytes": limits.written_bytes,
    }
    return SandboxLimits(**given | other)


async def run(sandbox: Sandbox, ordered: Any, **limits: Any) -> Any:
    return await sandbox.run(RUN, ordered, limits_of(ordered["use"], **limits), reach_of(ordered))


def reach_of(ordered: Any) -> Reach:
    return Reach(read=(ordered["source"],), write=(ordered["folder"],))


def test_what_children_share_starts_no_thread() -> None:
    code = (
        "import importlib, os, sys; [importlib.import_module(name) for name in sys.argv[1:]]; "
        "print(len(os.listdir('/proc/self/task')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, *OURS, *PRELOAD], capture_output=True, check=True, text=True
    )
    assert told.stdout == "1\n"


async def test_the_zygote_has_one_thread_and_so_has_a_new_child(sandbox: Sandbox) -> None:
    told = await sandbox.run(f"{HERE}:threads")
    assert told["child"] == 1
    assert len(list(Path(f"/proc/{told['zygote']}/task").iterdir())) == 1


def test_heavy_libraries_are_not_imported_by_the_processors() -> None:
    code = (
        "import sys, posthouse.files.processors as p; "
        "print(sorted({n.partition('.')[0] for n in p.PRELOAD} - {'posthouse'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout == "[]\n"


async def test_every_processor_works_in_a_child(sandbox: Sandbox, tmp_path: Path) -> None:
    table = b"a,b\n" + b"1,two\n" * 200
    invoice = document_template.example("invoice")
    made = await run(sandbox, order(tmp_path / "pdf", "document.table", table, "text/csv"))
    pdf = tmp_path / "pdf" / made["outputs"][0]["file"]
    orders = [
        order(tmp_path / "1", "image.resize", PHOTO, "image/jpeg", width=100),
        order(tmp_path / "2", "image.convert", PHOTO, "image/jpeg", format="avif"),
        order(tmp_path / "3", "image.placeholder", PHOTO, "image/jpeg"),
        order(tmp_path / "4", "document.render", invoice, "application/json", template="invoice"),
        order(tmp_path / "5", "document.thumbnail", pdf, "application/pdf"),
        order(tmp_path / "6", "document.text", pdf, "application/pdf"),
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(sandbox, one)) for one in orders]
    for ordered, task in zip(orders, tasks, strict=True):
        answer = task.result()
        (output,) = answer["outputs"]
        assert (Path(ordered["folder"]) / output["file"]).stat().st_size > 50
        assert output["facts"]
        assert all(answer["engines"].values())
    assert {PROCESSORS[one["use"]].name for one in orders} | {"document.table"} == {
        name for name in PROCESSORS if name.startswith(("image.", "document."))
    }


async def test_a_refusal_is_an_answer(sandbox: Sandbox, tmp_path: Path) -> None:
    broken = encoded(noise(200, 200), "JPEG")[:2000]
    answer = await run(
        sandbox, order(tmp_path / "1", "image.resize", broken, "image/jpeg", width=9)
    )
    assert answer["refused"] == "bad-input"
    assert str(tmp_path) not in answer["detail"]


async def test_the_largest_images_stay_within_their_limits(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    source = tmp_path / "large.png"
    picture(7070, 7070, "RGBA").save(source, compress_level=1)
    ordered = order(tmp_path / "1", "image.convert", source, "image/png", format="jpeg")
    async with sandbox.open(RUN, ordered, limits_of("image.convert"), reach_of(ordered)) as child:
        while await child.receive() is not None:
            pass
    assert child.result["outputs"][0]["facts"]["width"] == 7070
    assert child.receipt is not None
    assert child.receipt.peak_bytes < 768 * MIB


async def test_too_little_memory_is_said_so_and_not_blamed_on_the_image(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    source = tmp_path / "large.jpg"
    picture(3000, 3000).save(source)
    ordered = order(tmp_path / "1", "image.convert", source, "image/jpeg", format="avif")
    with pytest.raises((ChildMemoryError, ChildCrashedError)):
        await run(sandbox, ordered, memory_bytes=300 * MIB)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("#for a in range(9000) { for b in range(9000) { for c in range(9000) {} } }", "time"),
        ("#let a = range(100000000)\n#let b = a.map(str)\n#b.len()", "memory"),
    ],
)
async def test_an_endless_template_is_cut(
    sandbox: Sandbox, tmp_path: Path, source: str, error: str
) -> None:
    ordered = order(tmp_path / "1", "document.render", b"{}", "application/json", source=source)
    expected = {"time": ChildTimeoutError, "memory": (ChildMemoryError, ChildCrashedError)}[error]
    with pytest.raises(expected):
        await run(sandbox, ordered, cpu_s=1)
    well = order(tmp_path / "2", "document.render", b"{}", "application/json", source="Hi")
    assert (await run(sandbox, well))["outputs"][0]["facts"] == {"pages": 1}


async def test_a_package_that_hides_fails_at_the_network(sandbox: Sandbox, tmp_path: Path) -> None:
    source = '#let name = "@pre" + "view/cetz:0.4.0"\n#import name'
    ordered = order(tmp_path / "1", "document.render", b"{}", "application/json", source=source)
    answer = await run(sandbox, ordered)
    assert answer["refused"] == "bad-input"
    assert "package" in answer["detail"]
    assert str(tmp_path) not in answer["detail"]


async def test_thousands_of_rows_need_little_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    cells = ",".join(f"column {n}" for n in range(8))
    rows = [",".join(f"value {row * n}" for n in range(8)) for row in range(9000)]
    body = "\n".join([cells, *rows]).encode()
    ordered = order(tmp_path / "1", "document.table", body, "text/csv")
    told: list[Any] = []
    async with sandbox.open(RUN, ordered, limits_of("document.table"), reach_of(ordered)) as child:
        while (message := await child.receive()) is not None:
            told.append(json.loads(message))
    assert child.result["outputs"][0]["facts"]["rows"] == 9000
    assert child.receipt is not None
    assert child.receipt.peak_bytes < 150 * MIB
    assert told[0] == [1000, 9000, "rows drawn"]
