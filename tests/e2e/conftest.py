"""An empty directory in which the real product is brought up by hand, as its reader would."""

import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation


@pytest.fixture
async def place() -> AsyncGenerator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="ph-e2e-", dir="/tmp"))
    place = Installation(folder)
    yield place
    await place.end()
    shutil.rmtree(folder)
