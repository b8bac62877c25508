"""The documents say what the code does, and their commands run."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from tools.reference import stale

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.live import live_server
from tests.make import Maker

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    assert stale() == [], "run python -m tools.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


async def test_the_commands_of_the_links_guide_run(
    settings: Settings, runtime: Runtime, make: Maker
) -> None:
    text = (ROOT / "docs" / "guides" / "links.md").read_text("utf-8")
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    key = await make.key()
    with live_server(settings) as url:
        done = subprocess.run(
            ["bash", "-c", script],
            env={
                **os.environ,
                "POSTHOUSE_URL": url,
                "POSTHOUSE_API_KEY": key,
                "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    answers = [
        json.loads(one) for one in re.findall(r"\{.*?\}(?=\{|\[|$)", done.stdout, re.DOTALL)[:1]
    ]
    assert answers[0]["url"] == "https://example.com/"
    assert '"code":"spring-offer"' in done.stdout
    assert "problem" not in done.stdout
