"""`posthouse up`, from the command to the first good answer, and what it takes when idle."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.house import free_port
from bench.measure import Row, say

ROUNDS = 5
IDLE_S = 3.0
_READY_S = 60.0
EXISTING_S, NEW_S, MEMORY_MB = 1.5, 2.5, 260.0


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    new, existing, memory = [], [], []
    for number in range(ROUNDS):
        folder = Path(tempfile.mkdtemp(prefix="ph-bench-", dir="/tmp"))
        folder.chmod(0o755)
        try:
            new.append(_once(folder / "data")[0])
            ready_s, idle_mb = _once(folder / "data")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        existing.append(ready_s)
        memory.append(idle_mb)
        say(f"ready {number + 1} of {ROUNDS}: new {new[-1]:.2f} s, existing {ready_s:.2f} s")
    return [
        _against("ready, existing directory", existing, EXISTING_S, "s"),
        _against("ready, new directory", new, NEW_S, "s"),
        _against("idle memory of the whole (PSS)", memory, MEMORY_MB, "MB"),
    ]


def _against(name: str, values: list[float], limit: float, unit: str) -> Row:
    value = sorted(values)[len(values) // 2]
    return Row(
        name=name, value=value, limit=limit, ratio=value / limit, unit=unit, runs=len(values),
        at_most=1.0,
    )  # fmt: skip


def _once(data: Path) -> tuple[float, float]:
    """Start it, let it rest, stop it: seconds until ready, and megabytes at rest."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("POSTHOUSE")
    }
    argv = [
        sys.executable,
        "-m",
        "posthouse",
        "up",
        "--data",
        str(data),
        "--port",
        str(free_port()),
    ]
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b"is ready" in line:
                break
            assert time.perf_counter() - began < _READY_S
        ready_s = time.perf_counter() - began
        time.sleep(IDLE_S)
        return ready_s, _pss_mb(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_READY_S)
        process.stdout.close()


def _pss_mb(root: int) -> float:
    """The proportional set size of a process and all below it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    total_kb = 0
    for pid in parents:
        above = pid
        while above not in {root, 0, 1}:
            above = parents.get(above, 0)
        if above == root:
            total_kb += _pss_kb(pid)
    return total_kb / 1024


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
