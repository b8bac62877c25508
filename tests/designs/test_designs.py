"""The designs name modules that exist, and quote figures that the bench printed."""

from pathlib import Path

import pytest

from tests.documents import DOCS, missing, named, run_snippet, snippets

DESIGNS = [DOCS / "designs" / f"{name}.md" for name in ("links", "notifications", "files")]


@pytest.mark.parametrize("page", DESIGNS, ids=lambda page: page.stem)
def test_what_a_design_names_exists(page: Path) -> None:
    assert named(page)
    assert missing(page) == []


@pytest.mark.parametrize("page", DESIGNS, ids=lambda page: page.stem)
def test_a_quoted_figure_is_a_row_of_performance(page: Path) -> None:
    printed = (DOCS / "performance.md").read_text("utf-8").splitlines()
    quoted = [line for block in snippets(page, "") for line in block.splitlines()]
    assert quoted or page.stem == "files", "no figure"
    assert [line for line in quoted if line not in printed] == []


def test_the_arithmetic_of_codes_is_right(tmp_path: Path) -> None:
    (snippet,) = snippets(DOCS / "designs" / "links.md")
    run_snippet(snippet, tmp_path)
