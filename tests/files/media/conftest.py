from pathlib import Path

import pytest

from tests.files.media.jobs import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)
