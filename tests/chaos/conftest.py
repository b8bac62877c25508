"""One house for all chaos tests, and the seed that decides what happens to it."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.house import House, open_house
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load


@dataclass(frozen=True, slots=True)
class Chaos:
    """How long it goes on, and from what seed."""

    seed: int
    is_long: bool

    def pick(self, quick: float, long: float) -> float:
        return long if self.is_long else quick


@pytest.fixture(scope="session")
def chaos(pytestconfig: pytest.Config) -> Chaos:
    given = pytestconfig.getoption("--seed")
    seed = given if given is not None else secrets.randbelow(1_000_000)
    pytestconfig.get_terminal_writer().line(f"\nchaos: --seed {seed}")
    return Chaos(seed, pytestconfig.getoption("--chaos") == "long")


@pytest.fixture(autouse=True)
def _told_seed(chaos: Chaos) -> None:
    print(f"chaos: --seed {chaos.seed}")  # noqa: T201  shown with a failure


@pytest.fixture(scope="session")
async def session_house() -> AsyncGenerator[House]:
    folder = Path(tempfile.mkdtemp(prefix="ph-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    async with open_house(folder / "data") as house:
        yield house
    shutil.rmtree(folder)


@pytest.fixture
def house(session_house: House) -> Generator[House]:
    """The house, well again, with an empty list of faults."""
    session_house.faults.clear()
    yield session_house
    print(session_house.tail())  # noqa: T201  shown with a failure


@pytest.fixture
def load(house: House, chaos: Chaos) -> Load:
    return Load(house, Ledger(house), chaos.seed)
