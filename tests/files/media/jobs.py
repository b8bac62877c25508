"""Runs a processor on a file, in this process, and looks at what it made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.protocol import MIB, Job, Output

CORPORA = Path(__file__).parent.parent.parent / "corpora"


@dataclass(slots=True)
class Workshop:
    """A folder with numbered jobs."""

    folder: Path
    jobs: int = 0

    def job(self, use: str, source: Path | bytes, media_type: str, /, **options: Any) -> Job:
        self.jobs += 1
        folder = self.folder / f"job-{self.jobs}"
        folder.mkdir()
        if isinstance(source, bytes):
            path = self.folder / f"source-{self.jobs}"
            path.write_bytes(source)
            source = path
        checked = PROCESSORS[use].options.model_validate(options)
        return Job(source, media_type, "its name", folder, checked, 1024 * MIB)

    def run(self, use: str, source: Path | bytes, media_type: str, /, **options: Any) -> Output:
        """The one output; it is the one that was promised."""
        job = self.job(use, source, media_type, **options)
        promised = PROCESSORS[use].promise(job.options, media_type)
        outputs = PROCESSORS[use].run(job)
        told = [(one.key, one.media_type, one.extension) for one in outputs]
        assert told == [(one.key, one.media_type, one.extension) for one in promised]
        (output,) = outputs
        assert output.path.parent == job.folder
        return output
