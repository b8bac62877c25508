"""`posthouse process FILE --recipe RECIPE`: work on a file of this machine, without a server."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path

from posthouse.files.public import process_file
from posthouse.kernel.client import Table, show
from posthouse.kernel.errors import PosthouseError

_NO_INPUT = 66


def main(path: Path, recipe: Path, output: Path | None, *, as_json: bool) -> int:
    """Run the recipe and say what was made; give the exit code."""
    if not path.is_file():
        sys.stderr.write(f"There is no file {path}.\n")
        return _NO_INPUT
    said = ""

    async def tell(done: int, total: int | None, message: str) -> None:
        nonlocal said
        del done, total
        if message and message != said and not as_json:
            sys.stderr.write(f"{message}\n")
        said = message

    folder = output or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        saved = asyncio.run(process_file(path, recipe, folder, tell))
    except PosthouseError as error:
        sys.stderr.write(f"{error.title}: {error} ({error.code})\n")
        for one in error.fields:
            sys.stderr.write(f"  {one.field}: {one.message}\n")
        return error.exit_code
    data = [{**asdict(one), "path": str(one.path)} for one in saved]
    rows = [
        (one.name, one.path, one.media_type, one.size_bytes, round(one.cpu_s, 2)) for one in saved
    ]
    columns = ("result", "saved", "type", "bytes", "cpu s")
    show(data, as_json=as_json, table=lambda: Table("", columns, rows))
    return 0
