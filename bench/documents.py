"""An invoice and a table of 9,000 rows: steps in children, against Typst with nothing around it."""

import asyncio
import csv
import json
import multiprocessing
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from bench.measure import Row, compare, say
from bench.processors import step, workshop
from posthouse.files.processors import document_template
from posthouse.files.processors.document_render import compile_in
from posthouse.kernel.sandbox import Sandbox

RUNS = 15
TABLE_ROWS, TABLE_COLUMNS = 9000, 8
MIB = 1024 * 1024
TYPST_TABLE = """\
#set page(paper: "a4", flipped: true, margin: 36pt, footer: context counter(page).display("1 of 1", both: true))
#set text(size: 8pt)
#let rows = csv("table.csv")
#table(columns: rows.first().len(), stroke: none,
  table.header(..rows.first().map(strong)), ..rows.slice(1).flatten())
"""


def compiled(root: str) -> float:
    """Check nothing, compile and write: Typst alone, in ms."""
    begun = time.perf_counter()
    Path(root, "out.pdf").write_bytes(compile_in(Path(root)))
    return (time.perf_counter() - begun) * 1000


def typst_table(root: str) -> tuple[float, float]:
    """The table by Typst: ms, and the peak in MiB of the process, which runs nothing else."""
    took = compiled(root)
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def invoice(number: int) -> bytes:
    """The data of another invoice each time: Typst remembers what it has compiled before."""
    data = json.loads(document_template.example("invoice").read_text("utf-8"))
    del data["totals"]
    data["number"] = f"2026-{number}"
    for at, line in enumerate(data["lines"]):
        line["quantity"] = str(number * 7 + at)
    return json.dumps(data).encode()


def table(path: Path) -> None:
    """Write the CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"column {n}" for n in range(TABLE_COLUMNS)])
        for row in range(TABLE_ROWS):
            writer.writerow(
                [f"value {row} {n}" if n % 2 else row * n for n in range(TABLE_COLUMNS)]
            )


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("forkserver")
    async with workshop() as (sandbox, folder):
        with ProcessPoolExecutor(1, context) as pool:
            found = await _invoices(sandbox, folder, pool)
        source = folder / "table.csv"
        table(source)
        took, receipt, answer = await step(sandbox, folder, "document.table", source, "text/csv")
        pages = answer["outputs"][0]["facts"]["pages"]
        root = document_template.materialise(folder, TYPST_TABLE, json.dumps({}).encode())
        shutil.copy(source, root / "table.csv")
        with ProcessPoolExecutor(1, context) as pool:
            typst_ms, typst_mib = await loop.run_in_executor(pool, typst_table, str(root))
    say(f"table of {TABLE_ROWS} rows: {pages} pages")
    peak = receipt.peak_bytes / MIB
    return [
        found,
        Row(
            name="peak of a table of 9,000 rows",
            value=peak,
            limit=typst_mib,
            ratio=peak,
            unit="MiB",
            runs=1,
            at_most=150,
        ),
        Row(
            name="a table of 9,000 rows, of Typst's",
            value=took,
            limit=typst_ms,
            ratio=typst_ms / took,
            unit="ms",
            runs=1,
        ),
    ]


async def _invoices(sandbox: Sandbox, folder: Path, pool: ProcessPoolExecutor) -> Row:
    loop = asyncio.get_running_loop()
    template = document_template.built_in("invoice").source
    source = folder / "invoice.json"
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(RUNS + 2):
        source.write_bytes(invoice(number))
        root = document_template.materialise(folder, template, invoice(number))
        own, _, _ = await step(
            sandbox, folder, "document.render", source, "application/json", template="invoice"
        )
        plain = await loop.run_in_executor(pool, compiled, str(root))
        if number >= 2:
            ours.append(own)
            theirs.append(plain)
    say(f"invoice: child {median(ours):.1f} ms, direct {median(theirs):.1f} ms")
    return compare("invoice in a child, of Typst's", ours, theirs, unit="ms", at_least=0.8)
