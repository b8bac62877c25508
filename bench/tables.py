"""CSV to Parquet with types proven and rejects kept, against DuckDB's own reader.

Both run in a child of the sandbox with the same limits, in turns, on a file that is made for it.
"""

import csv
import json
import random
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Row, compare, say
from posthouse.files.processors.protocol import MIB
from posthouse.files.processors.table_convert import LIMITS
from posthouse.kernel.sandbox import Reach, Sandbox, SandboxLimits
from posthouse.kernel.zygote import Channel

SIZE_BYTES = 1_000_000_000
ROUNDS = 5
RAGGED_EVERY = 100_000
_ORACLE_BYTES = 50_000_000
_NAMES = ("Jürgen", "Anna", "Zoë", "Łukasz", "Bob", "北京", "Maria", '"O""Neil, J."')


def direct(channel: Channel) -> int:
    """What the engine does by itself: guess, read, write; broken rows are put into its table."""
    import duckdb  # noqa: PLC0415

    order = json.loads(channel.receive() or b"{}")
    connection = duckdb.connect(
        config={
            "memory_limit": f"{LIMITS.memory_bytes // 2 // MIB}MiB",
            "threads": 2,
            "temp_directory": order["folder"] + "/scratch",
        }
    )
    connection.execute(
        f"COPY (SELECT * FROM read_csv('{order['source']}', store_rejects = true)) "
        f"TO '{order['folder']}/direct.parquet' (FORMAT parquet)"
    )
    return 1


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    folder = Path(tempfile.mkdtemp(prefix="bench-tables-"))
    sandbox = Sandbox(("duckdb", "bench.tables", "posthouse.files.processors.child"))
    try:
        source = folder / "source.csv"
        made = _make(source)
        say(f"tables: {source.stat().st_size / 1e6:.0f} MB, {made:,} rows")
        return [*await _measured(sandbox, source, folder, made), _oracle(source)]
    finally:
        sandbox.close()
        shutil.rmtree(folder)


async def _measured(sandbox: Sandbox, source: Path, folder: Path, made: int) -> list[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    peaks: list[float] = []
    for number in range(ROUNDS):
        seconds, _, _ = await _run(sandbox, "bench.tables:direct", source, folder)
        theirs.append(seconds)
        seconds, peak, result = await _run(
            sandbox, "posthouse.files.processors.child:run", source, folder
        )
        facts = result["outputs"][0]["facts"]
        assert facts["rows_in"] == made == facts["rows_out"] + facts["rejects"], facts
        assert facts["rejects"] == made // RAGGED_EVERY, facts
        ours.append(seconds)
        peaks.append(peak / MIB)
        say(f"tables {number + 1}: ours {ours[-1]:.2f} s, direct {theirs[-1]:.2f} s")
    return [
        compare("CSV to Parquet, of DuckDB direct", ours, theirs, unit="s", at_least=0.8),
        Row(
            name="CSV to Parquet, peak of the child",
            value=max(peaks),
            limit=600,
            ratio=max(peaks),
            unit="MiB",
            runs=len(peaks),
            at_most=600,
        ),
    ]


async def _run(
    sandbox: Sandbox, function: str, source: Path, folder: Path
) -> tuple[float, int, Any]:
    """Run one step in a child; give its seconds, its peak in bytes and its result."""
    job = folder / "job"
    job.mkdir()
    order = {
        "use": "table.convert",
        "source": str(source),
        "folder": str(job),
        "media_type": "text/csv",
        "filename": "source.csv",
        "options": {"to": "parquet", "empty_as_null": True},
        "memory_bytes": LIMITS.memory_bytes,
    }
    begun = time.perf_counter()
    reach = Reach(read=(str(source),), write=(str(job),))
    async with sandbox.open(function, order, SandboxLimits(**asdict(LIMITS)), reach) as child:
        while await child.receive() is not None:
            pass
    seconds = time.perf_counter() - begun
    shutil.rmtree(job)
    assert child.receipt is not None
    return seconds, child.receipt.peak_bytes, child.result


def _oracle(source: Path) -> Row:
    """How long the standard library takes to only read as much, from a part of the file."""
    begun = time.perf_counter()
    with source.open(encoding="utf-8", newline="") as file:
        for record in csv.reader(file):
            if record[0].endswith("00000") and file.buffer.tell() > _ORACLE_BYTES:
                break
        share = source.stat().st_size / file.buffer.tell()
    seconds = (time.perf_counter() - begun) * share
    return Row(
        name="reading it with the csv module, nothing else",
        value=median([seconds]),
        limit=seconds,
        ratio=1,
        unit="s",
        runs=1,
    )


def _make(path: Path) -> int:
    """Write eight columns of all types and a broken row now and then; give the number of rows."""
    dice = random.Random(1)  # noqa: S311
    tails: list[str] = []
    for number in range(100_000):
        score = "" if number % 33 == 0 else repr(dice.random() * 100)
        day = f"20{number % 24 + 1:02d}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
        tails.append(
            f",{_NAMES[dice.randrange(8)]},{number:05d},{dice.randrange(10**6)}.{number % 100:02d}"
            f",{score},{day},{'true' if number % 3 else 'false'}"
            f",a longer text that is not so short {number * 7919 % 10007}\n"
        )
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,name,zip,amount,score,day,is_open,note\n")
        while file.tell() < SIZE_BYTES:
            file.write("".join(f"{rows + at}{tail}" for at, tail in enumerate(tails[:-1])))
            rows += len(tails)
            file.write("broken,row\n")
    return rows
