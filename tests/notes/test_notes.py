"""The thirty answers are true: their snippets run."""

from pathlib import Path

import pytest

from tests.documents import DOCS, run_snippet, snippets

NOTES = sorted((DOCS / "notes").glob("*-[0-9][0-9]-*.md"))
SNIPPETS = [(page, number) for page in NOTES for number in range(len(snippets(page)))]


def test_there_is_an_answer_to_each_question() -> None:
    wanted = [f"fastapi-{number:02}" for number in range(1, 11)]
    wanted += [f"python-{number:02}" for number in range(1, 21)]
    assert ["-".join(page.stem.split("-")[:2]) for page in NOTES] == wanted


@pytest.mark.parametrize("page", NOTES, ids=lambda page: page.stem)
def test_an_answer_has_a_snippet_that_claims_something(page: Path) -> None:
    assert page.read_text("utf-8").startswith("# ")
    assert snippets(page)
    assert all("assert " in snippet for snippet in snippets(page))


@pytest.mark.parametrize(
    ("page", "number"), SNIPPETS, ids=[f"{page.stem}-{number}" for page, number in SNIPPETS]
)
def test_a_snippet_runs(page: Path, number: int, tmp_path: Path) -> None:
    run_snippet(snippets(page)[number], tmp_path)


def test_the_index_names_every_answer_by_its_question() -> None:
    index = (DOCS / "notes" / "README.md").read_text("utf-8")
    for page in NOTES:
        question = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{question}]({page.name})" in index
