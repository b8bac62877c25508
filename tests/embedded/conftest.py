"""Data directories for the embedded servers: made once, then copied, because initdb takes long."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from posthouse.embedded import embedded_servers


@pytest.fixture(scope="session")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("made")
    async with embedded_servers(folder, durable=False):
        pass
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A data directory that has run before."""
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account on the machine can reach."""
    folder = Path(tempfile.mkdtemp(prefix="ph-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ordinary_uid() -> int:
    """Somebody who is not root: `nobody` where we are root, else ourselves."""
    return os.geteuid() or 65534
