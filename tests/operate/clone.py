"""A clone of the repository as it lies here, with what is not committed yet."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Clone:
    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """No more than what programs there need: nothing of a developer's own."""
        programs = [str(Path(sys.executable).parent), os.defpath]
        programs += [
            str(Path(found).parent) for found in map(shutil.which, ("git", "curl")) if found
        ]
        return {"PATH": os.pathsep.join(programs), "PYTHONPATH": str(self.root / "src")}

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program there, on the code that lies there."""
        return subprocess.run(
            words,
            cwd=cwd or self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def python(self, *words: str) -> str:
        """Run a module there that must succeed; give what it prints."""
        done = self.run(sys.executable, "-m", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def changes(self) -> set[str]:
        """The files that are not as they were, such as `?? src/new.py` and ` M src/old.py`."""
        done = self.run("git", "status", "--porcelain", "--untracked-files=all")
        return set(done.stdout.splitlines())


@contextmanager
def cloned() -> Generator[Clone]:
    """Give a clone with an environment; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ph-clone-", dir="/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        # As `make install` leaves it, but with the packages that are here.
        (root / ".venv").mkdir()
        for path in Path(sys.prefix).iterdir():
            if path.name != ".installed":
                (root / ".venv" / path.name).symlink_to(path)
        (root / ".venv" / ".installed").touch()
        clone = Clone(root)
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        for step in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "all"]):
            assert clone.run("git", *step).returncode == 0
        yield clone
