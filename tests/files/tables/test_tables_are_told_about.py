"""Profiles and validations: figures, places and reasons that the sender can act on."""

import json
from typing import Any, cast

import pytest
from pydantic import ValidationError

from posthouse.files.processors import PROCESSORS, child
from posthouse.files.processors.protocol import MIB, BadInputError
from posthouse.kernel.zygote import Channel
from tests.files.tables.make import PARQUET, convert, run

CONTENT = b"zip,n,day,note\n01234,1,2026-01-02,=x\n00001,2,2026-01-03,y\n00001,3,,\n1,2\n"


def test_a_profile_tells_types_figures_and_flags() -> None:
    report = run("table.profile", CONTENT).json
    zips, numbers, days, notes = report["columns"]
    assert (report["rows"], report["rejects"]) == (3, 1)
    assert zips["flags"] == ["leading_zeros"]
    assert (zips["distinct"], zips["max_length"], zips["samples"]) == (2, 5, ["01234", "00001"])
    assert (numbers["min"], numbers["max"], numbers["mean"]) == (1, 3, 2)
    assert (days["type"], days["nulls"], days["max"]) == ("date", 1, "2026-01-03")
    assert notes["flags"] == ["looks_like_formula"]


def test_a_profile_of_parquet_is_that_of_its_source() -> None:
    parquet = convert(CONTENT, to="parquet").outputs[""].path.read_bytes()
    found = run("table.profile", parquet, PARQUET).json["columns"]
    assert found == run("table.profile", CONTENT).json["columns"]


def _errors(**options: Any) -> list[tuple[int | None, str, str]]:
    report = run("table.validate", CONTENT, **options).json
    return [(one["line"], one["column"], one["code"]) for one in report["errors"]]


def test_a_validation_names_each_cell_that_misses_the_schema() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "zip", "pattern": "[0-9]{5}", "unique": True},
        {"name": "n", "type": "integer", "min": 2, "max": 2},
        {"name": "day", "type": "date", "required": True},
        {"name": "note", "one_of": ["y"], "max_length": 1},
    ]
    assert _errors(columns=columns) == [
        (2, "n", "min"),
        (2, "note", "max-length"),
        (2, "note", "one-of"),
        (4, "day", "required"),
        (4, "n", "max"),
        (4, "zip", "unique"),
        (5, "", "too-few-cells"),
    ]


def test_the_invalid_rows_come_with_their_cells() -> None:
    made = run("table.validate", CONTENT, extra_columns="allow",
               columns=[{"name": "n", "type": "integer", "max": 2}])  # fmt: skip
    assert (made.facts["rows"], made.facts["valid"], made.facts["invalid"]) == (4, 2, 2)
    assert made.rows("errors") == [
        {"zip": "00001", "n": "3", "day": "", "note": "", "line": "4", "reason": "n: max",
         "raw": ""},
        {"zip": "", "n": "", "day": "", "note": "", "line": "5", "reason": "too-few-cells",
         "raw": "1,2"},
    ]  # fmt: skip


def test_columns_that_are_missing_or_extra_are_named() -> None:
    made = run("table.validate", b"a,b\n1,2\n", columns=[{"name": "a"}, {"name": "c"}])
    assert [(one["column"], one["code"]) for one in made.json["errors"]] == [
        ("b", "extra-column"), ("c", "missing-column"),
    ]  # fmt: skip
    assert made.facts["is_valid"] is False
    assert "errors" not in made.outputs


def test_a_hundred_errors_are_shown_and_all_are_counted() -> None:
    made = run("table.validate", b"a,b\n" + b"x,1\n" * 500,
               columns=[{"name": "a", "type": "integer"}, {"name": "b"}])  # fmt: skip
    assert len(made.json["errors"]) == 100
    assert made.json["counts"] == [{"column": "a", "code": "type", "count": 500}]


def test_a_pattern_that_can_run_away_is_refused() -> None:
    with pytest.raises(BadInputError, match="schema of column 'a'"):
        run("table.validate", b"a\n1\n", columns=[{"name": "a", "pattern": r"(a)\1"}])


@pytest.mark.parametrize(
    "options",
    [
        {"columns": []},
        {"columns": [{"name": "a"}, {"name": "a"}]},
        {"columns": [{"name": "a", "min": 1}]},
        {"columns": [{"name": "a", "type": "date", "min": 1}]},
        {"columns": [{"name": "a", "type": "integer", "min": "x"}]},
        {"columns": [{"name": "a"}], "surprise": 1},
        {"columns": [{"name": "a"}], "delimiter": "x"},
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PROCESSORS["table.validate"].options.model_validate(options)


def test_a_child_answers_with_outputs_or_a_refusal(tmp_path: Any) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    (tmp_path / "job").mkdir()
    order = {
        "use": "table.convert", "source": str(tmp_path / "source"), "media_type": "text/csv",
        "folder": str(tmp_path / "job"), "filename": "t.csv", "options": {"to": "parquet"},
        "memory_bytes": 2048 * MIB,
    }  # fmt: skip
    answer = json.loads(json.dumps(child.run(cast("Channel", _Line(order)))))
    assert [one["key"] for one in answer["outputs"]] == ["", "rejects"]
    assert set(answer["engines"]) == {"duckdb"}
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == [
        "rejects.csv", "table.parquet",
    ]  # fmt: skip
    (tmp_path / "source").write_bytes(b"")
    assert child.run(cast("Channel", _Line(order)))["refused"] == "bad-input"


class _Line:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order

    def receive(self) -> bytes:
        return json.dumps(self._order).encode()

    def send(self, message: bytes) -> None:
        assert len(json.loads(message)) == 3


def test_outputs_are_foretold() -> None:
    for use, options, keys in (
        ("table.convert", {"to": "csv"}, ["", "rejects"]),
        ("table.profile", {}, [""]),
        ("table.validate", {"columns": [{"name": "a"}]}, ["", "errors"]),
    ):
        processor = PROCESSORS[use]
        told = processor.promise(processor.options.model_validate(options), "text/csv")
        assert [one.key for one in told] == keys
