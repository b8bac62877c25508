"""The table of the teaching text's mistakes has all of them, and each is shown by something."""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documents import DOCS, ROOT, missing, snippets

INDEX = DOCS / "review" / "errata.md"
# The lines where something is wrong, or true and easily doubted; some have two mistakes.
LINES = """
22 25 34 36 49 57 89 102 136 156 162 191 201 212 231 249 281 326 330 340 371 381 414 429 440 446 480
493 520 538 541 565 566 576 581 597 621 640 642 644 671 674 685 686 698 725 731 744
774 777 786 795 797 800 802 805 810 811 811 818
844 844 849 850 850 852 853 862 864 881 883 887 888 893 898 901 906
925 937 975 981 984 986 1011 1013 1013 1018 1021 1034 1037 1041
1083 1083 1085 1106 1107 1108 1110 1113 1127 1132 1151 1158 1165 1188 1199 1201 1204 1206 1207 1214
1232 1239 1247 1253 1258 1260 1261 1263 1284 1287 1290 1290 1314 1317 1322
"""
TRUE_AS_IT_STANDS = "true as it stands"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table; `line` is such as `L89`, or `all`."""

    line: str
    shown_by: str

    @property
    def pages(self) -> list[Path]:
        """The notes and reviews that show it."""
        return [INDEX.parent / target for target in re.findall(r"\]\(([^)]+)\)", self.shown_by)]

    @property
    def tests(self) -> list[str]:
        """The tests that show it."""
        return re.findall(r"`(tests/[^`]+)`", self.shown_by)


def rows() -> list[Row]:
    found: list[Row] = []
    for line in INDEX.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"L\d+|all", cells[0]):
            assert len(cells) == 4, line
            found.append(Row(cells[0], cells[3]))
    return found


ROWS = rows()


def tags(page: Path) -> set[str]:
    """The lines that the asserts of a page's snippets bear."""
    found = re.findall(r"# (L\d+(?:, L\d+)*)", "\n".join(snippets(page)))
    return {tag for group in found for tag in group.split(", ")}


def test_every_line_has_its_rows() -> None:
    wanted = Counter(f"L{line}" for line in LINES.split()) + Counter({"all": 2})
    assert Counter(row.line for row in ROWS) == wanted


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_a_row_is_shown_by_something(row: Row) -> None:
    assert row.pages or row.tests or row.shown_by == TRUE_AS_IT_STANDS
    for page in row.pages:
        assert row.line in tags(page), f"{page.name} has no assert for {row.line}"


def test_the_tests_that_are_named_exist() -> None:
    assert missing(INDEX) == []
    assert all("::test_" in test for row in ROWS for test in row.tests)


def test_every_test_here_is_in_the_row_of_its_line() -> None:
    named = {(row.line, test) for row in ROWS for test in row.tests}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (match := re.match(r"test_L(\d{4})_", node.name)):
                test = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                assert (f"L{int(match[1])}", test) in named, test


def test_every_line_that_a_page_shows_links_to_it() -> None:
    linked = {(row.line, page.resolve()) for row in ROWS for page in row.pages}
    pages = [*(DOCS / "notes").glob("*.md"), *(DOCS / "review").glob("*-[0-9]-*.md")]
    unlinked = [
        (page.name, tag) for page in pages for tag in tags(page) if (tag, page) not in linked
    ]
    assert unlinked == []
