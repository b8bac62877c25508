"""A live server for clients that others wrote; `make test-peers` installs them."""

import secrets
from collections.abc import Generator
from pathlib import Path

import pytest

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.live import live_server


@pytest.fixture(scope="session")
def base(settings: Settings, runtime: Runtime) -> Generator[str]:
    with live_server(settings) as base:
        yield base


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of a few MB that no other test sends."""
    path = tmp_path / "peer.csv"
    path.write_bytes(b"a,b\n" + secrets.token_hex(1_500_000).encode())
    return path
