"""Say in words what is wrong with an installation, and what to do about it."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from posthouse.operate.environment import Options, own_environment
from posthouse.operate.findings import Finding, State
from posthouse.operate.machine import examine_machine
from posthouse.operate.running import examine_running

COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


async def examine(environ: Mapping[str, str], data: Path | None = None) -> list[Finding]:
    """Look at everything; change nothing."""
    root = Options(data=data).data_dir(environ).absolute()
    machine = await asyncio.to_thread(examine_machine, environ, root)
    return [*machine, *await examine_running(environ, root)]


def main(data: Path | None = None, *, as_json: bool = False) -> int:
    """Print the findings; give 1 if something does not work, else 0."""
    found = asyncio.run(examine(own_environment(), data))
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2) + "\n")
    else:
        _print_table(found)
    return int(any(finding.state is State.FAIL for finding in found))


def _print_table(found: list[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table("", "what", box=None)
    table.add_column("finding", overflow="fold")
    for finding in found:
        words = Text(finding.says)
        if finding.do:
            words.append(f"\n{finding.do}", style="bold")
        table.add_row(Text(finding.state, style=COLOURS[finding.state]), finding.name, words)
    Console().print(table)
