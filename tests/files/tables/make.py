"""Runs a table step on bytes, in this process."""

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.protocol import MIB, Job, Output

CSV, JSON, NDJSON = "text/csv", "application/json", "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"


@dataclass
class Made:
    outputs: dict[str, Output]

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self.outputs[""].facts)

    @property
    def text(self) -> str:
        return self.outputs[""].path.read_text("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def rows(self, key: str) -> list[dict[str, str]]:
        """A CSV output as rows."""
        with self.outputs[key].path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def types(self) -> dict[str, str]:
        return {one["name"]: one["type"] for one in self.facts["columns"]}


def run(use: str, content: bytes, media_type: str = CSV, **options: Any) -> Made:
    """Run a step in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="tables-", dir=run_folder()))
    source, job = folder / "source", folder / "job"
    source.write_bytes(content)
    job.mkdir()
    processor = PROCESSORS[use]
    made = processor.run(
        Job(
            source=source,
            media_type=media_type,
            filename="table",
            folder=job,
            options=processor.options.model_validate(options),
            memory_bytes=2048 * MIB,
        )
    )
    return Made({output.key: output for output in made})


def convert(content: bytes, media_type: str = CSV, *, to: str = "json", **options: Any) -> Made:
    """Convert a table; rows in are always rows out and rejects."""
    made = run("table.convert", content, media_type, to=to, **options)
    facts = made.facts
    assert facts["rows_in"] == facts["rows_out"] + facts["rejects"]
    assert ("rejects" in made.outputs) == bool(facts["rejects"])
    return made


_FOLDER: list[str] = []


def run_folder() -> str:
    """The folder that the tests' fixture has set."""
    return _FOLDER[-1]


def use_folder(path: Path) -> None:
    """Put what is made under `path`."""
    _FOLDER[:] = [str(path)]
