"""The reviews are true: what fails does fail, and the code that they name is there."""

from pathlib import Path

import pytest

from tests.documents import DOCS, missing, named, run_snippet, snippets

REVIEWS = sorted((DOCS / "review").glob("*-[0-9]-*.md"))
UNFINISHED = "In Posthouse: TODO"


def test_there_is_a_page_for_each_exercise_and_pattern() -> None:
    wanted = [f"exercise-{number}" for number in range(1, 6)]
    wanted += [f"pattern-{number}" for number in range(1, 5)]
    assert ["-".join(page.stem.split("-")[:2]) for page in REVIEWS] == wanted


@pytest.mark.parametrize("page", REVIEWS, ids=lambda page: page.stem)
def test_the_shape_that_fails_does_fail(page: Path, tmp_path: Path) -> None:
    (snippet,) = snippets(page)
    assert "assert " in snippet
    run_snippet(snippet, tmp_path)


@pytest.mark.parametrize("page", REVIEWS, ids=lambda page: page.stem)
def test_what_a_review_names_exists(page: Path) -> None:
    assert missing(page) == []
    assert named(page) or UNFINISHED in page.read_text("utf-8"), "where is the right shape?"


def test_the_index_names_every_review_by_its_title() -> None:
    index = (DOCS / "review" / "README.md").read_text("utf-8")
    for page in REVIEWS:
        title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in index


def test_a_name_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`src/posthouse/links/codes.py::fresh`, `src/posthouse/links/codes.py::stale`, "
        "`src/posthouse/links/service.py::Links.find`, `src/posthouse/links/service.py::Links.x`, "
        "`src/posthouse/nowhere.py`"
    )
    assert missing(page) == [
        "src/posthouse/links/codes.py::stale",
        "src/posthouse/links/service.py::Links.x",
        "src/posthouse/nowhere.py",
    ]
