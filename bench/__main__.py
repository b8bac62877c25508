"""`python -m bench NAME [--json]`: run one bench, or `all`; exit code 1 if a target is missed."""

import argparse
import asyncio
import importlib
import sys

from bench.measure import HEADING, Row, say

NAMES = (
    "redirect",
    "redirect_miss",
    "create",
    "list",
    "search",
    "clicks",
    "jobs",
    "tasks",
    "sandbox",
    "notifications",
    "notification_peers",
    "uploads",
    "images",
    "tables",
    "documents",
    "ready",
)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    names = NAMES if asked.name == "all" else (asked.name,)
    if not asked.json:
        _print(HEADING)
    found: list[Row] = []
    for name in names:
        say(f"{name} …")
        bench = importlib.import_module(f"bench.{name}")
        for row in asyncio.run(bench.rows()):
            _print(row.as_json() if asked.json else row.as_text())
            found.append(row)
    return 1 if any(row.misses for row in found) else 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
