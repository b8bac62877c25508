"""Runs a recipe on a file of this machine, without a server: the same steps, the same sandbox."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse.files.cooking import Cook, Tell
from posthouse.files.errors import EmptyFileError
from posthouse.files.model import SOURCE
from posthouse.files.processors import PRELOAD
from posthouse.files.recipes import plan, read_steps, result_filename, result_name
from posthouse.files.sniffing import ENOUGH, media_type_of
from posthouse.kernel.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Saved:
    """A result that lies in a file of this machine, and what it cost."""

    name: str
    path: Path
    media_type: str
    size_bytes: int
    facts: Mapping[str, Any]
    cpu_s: float
    peak_bytes: int
    isolation: tuple[str, ...]


async def process_alone(
    path: Path, recipe: Mapping[str, Any], output: Path, tell: Tell
) -> list[Saved]:
    """Work on a file, and put the results into the folder `output`.

    Raises:
        EmptyFileError: the file has no bytes.
        RecipeInvalidError: the recipe breaks a rule.
        TypeNotAllowedError: a step cannot read what it would be given.
        StepInputError: a step cannot read the file.
        StepUnsafeError: the file would cost too much.
    """
    steps = read_steps(dict(recipe))
    with path.open("rb") as opened:
        head = opened.read(ENOUGH)
    if not head:
        raise EmptyFileError
    planned = plan(steps, media_type_of(head, path.name, ""))
    sandbox = Sandbox(("posthouse.files.processors.child", *PRELOAD))
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="posthouse-"))
    sources = {SOURCE: await asyncio.to_thread(path.resolve)}
    saved: list[Saved] = []
    try:
        for one in planned:
            cooked = await Cook(sandbox).run(
                one, sources[one.step.source], path.name, folder / one.step.name, tell
            )
            sources[one.step.name] = cooked.outputs[0].path
            for dish in cooked.outputs:
                name = result_name(one.step.name, dish.key)
                place = output / result_filename(path.name, name, dish.extension)
                await asyncio.to_thread(shutil.copyfile, dish.path, place)
                receipt = cooked.receipt
                saved.append(
                    Saved(
                        name, place, dish.media_type, place.stat().st_size, dish.facts,
                        receipt.cpu_s, receipt.peak_bytes, receipt.isolation,
                    )
                )  # fmt: skip
    finally:
        sandbox.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return saved
