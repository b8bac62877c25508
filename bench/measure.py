"""What a measurement is: interleaved runs, medians, and rows that are held against a target."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a bench: `value` against `limit`, both in `unit`, medians of `runs` runs.

    `ratio` is what the target speaks of. Without `at_least` and `at_most` it only informs.
    """

    name: str
    value: float
    limit: float
    ratio: float
    unit: str
    runs: int
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The target as people write it; empty if there is none."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    @property
    def misses(self) -> bool:
        """Whether the ratio does not reach its target."""
        if self.at_least is not None and self.ratio < self.at_least:
            return True
        return self.at_most is not None and self.ratio > self.at_most

    def as_json(self) -> str:
        """The row for programs."""
        return json.dumps(
            {
                "name": self.name,
                "value": _rounded(self.value),
                "limit": _rounded(self.limit),
                "ratio": _rounded(self.ratio),
                "target": self.target,
                "unit": self.unit,
                "runs": self.runs,
            }
        )

    def as_text(self) -> str:
        """The row for people."""
        verdict = "" if not self.target else "  MISSED" if self.misses else "  ok"
        return (
            f"{self.name:<46} {_rounded(self.value):>10,} {_rounded(self.limit):>10,} "
            f"{_rounded(self.ratio):>8,} {self.target:>8}  {self.unit:<14} {self.runs:>4}{verdict}"
        )


HEADING = (
    f"{'name':<46} {'value':>10} {'limit':>10} {'ratio':>8} {'target':>8}  {'unit':<14} {'runs':>4}"
)


def compare(
    name: str,
    ours: Sequence[float],
    limit: Sequence[float],
    *,
    unit: str,
    at_least: float | None = None,
    at_most: float | None = None,
    is_cost: bool = True,
) -> Row:
    """Hold runs of ours against runs of the limit that were made in turns with them.

    The ratio is the median of the ratios of neighbours, because the machine's pace drifts.
    It says how much of the limit's speed is left: of a cost (time) `limit / ours`, of a rate
    `ours / limit`. With `at_most` it is `ours / limit` in any case.
    """
    ratios = [
        theirs / own if is_cost and at_most is None else own / theirs
        for own, theirs in zip(ours, limit, strict=True)
    ]
    return Row(
        name=name,
        value=median(ours),
        limit=median(limit),
        ratio=median(ratios),
        unit=unit,
        runs=len(ours),
        at_least=at_least,
        at_most=at_most,
    )


def cpu_s(pid: int) -> float:
    """The CPU time, user and system, that all threads of a process have used.

    The clock of another process is `(~pid << 3) | 2`: clock_getcpuclockid(3) on Linux.
    """
    return time.clock_gettime((~pid << 3) | 2)


def cores() -> tuple[set[int], set[int]]:
    """One core for what is measured, and the others for all else; the same if there is one."""
    known = sorted(os.sched_getaffinity(0))
    return {known[0]}, set(known[1:]) or {known[0]}


def say(text: str) -> None:
    """Tell whoever waits what goes on, without touching the rows."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def _rounded(value: float) -> float:
    if value >= 1000:
        return round(value)
    return round(value, 1 if value >= 100 else 3 if value < 10 else 2)
