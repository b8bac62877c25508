from pathlib import Path

import pytest

from tests.files.tables import make


@pytest.fixture(scope="session", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    make.use_folder(folder)
    return folder
