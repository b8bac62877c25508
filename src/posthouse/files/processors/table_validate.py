"""`table.validate`: holds a table against a schema, and says which cells of which rows miss it."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from posthouse.files.processors import table_opening
from posthouse.files.processors.protocol import BadInputError, Job, Output, Processor, Promised
from posthouse.files.processors.table_convert import LIMITS
from posthouse.files.processors.table_engine import Engine, engines, running
from posthouse.files.processors.table_options import TAKES
from posthouse.files.processors.table_rejects import REASONS, Rejects
from posthouse.files.processors.table_relation import Relation
from posthouse.files.processors.table_schema import Check, ValidateOptions, checks, firsts

SHOWN_ERRORS = 100
_SAMPLE_LENGTH = 100


def validate(job: Job) -> list[Output]:
    """Validate the table; give a report, and the rows that miss the schema.

    Raises:
        BadInputError: it is no table, or the schema cannot be used.
        UnsafeInputError: its lines or rows are too long.
    """
    options: ValidateOptions = job.options
    rejects = Rejects(job.folder)
    with running(job.source, job.folder, job.memory_bytes) as engine:
        relation = table_opening.read(job, engine, rejects)
        rejects.close()
        job.tell(1, 2, "checking rows")
        report = _Report(job, engine, relation, options, rejects)
        return report.outputs()


class _Report:
    def __init__(
        self,
        job: Job,
        engine: Engine,
        relation: Relation,
        options: ValidateOptions,
        rejects: Rejects,
    ) -> None:
        self._folder = job.folder
        self._engine = engine
        self._relation = relation
        self._rejects = rejects
        self._errors: list[dict[str, Any]] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._has_all_columns = self._compare_columns(options)
        known = [one for one in options.columns if one.name in relation.names]
        self._checks = checks(engine, relation, known)
        cells = relation.rows.query([])
        self._rows = f"(WITH cells AS ({cells}) SELECT cells.*, {self._failed()} AS failed "
        self._rows += f"FROM cells{firsts(relation, known)})"

    def _compare_columns(self, options: ValidateOptions) -> bool:
        asked = [one.name for one in options.columns]
        missing = [name for name in asked if name not in self._relation.names]
        extra = [name for name in self._relation.names if name not in asked]
        found = [("missing-column", name, "the table has no such column") for name in missing]
        if options.extra_columns == "refuse":
            found += [("extra-column", name, "the schema does not name it") for name in extra]
        for code, name, hint in found:
            self._counts[name, code] += 1
            self._errors.append(_error(None, None, None, name, code, hint, ""))
        return not found

    def _failed(self) -> str:
        """SQL for the numbers of the checks that a row breaks."""
        numbered = ", ".join(
            f"CASE WHEN {check.breaks} THEN {number} END"
            for number, check in enumerate(self._checks)
        )
        return f"list_filter([{numbered or 'NULL::INTEGER'}], lambda x: x IS NOT NULL)"

    def outputs(self) -> list[Output]:
        """Run the checks and write what they found.

        Raises:
            BadInputError: the rows are not all accounted for.
        """
        errors = self._folder / "errors.csv"
        with errors.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow([*self._relation.names, "line", "reason", "raw"])
            invalid = self._write_invalid(writer) + self._write_unread(writer)
        read = int(self._engine.rows(f"SELECT count(*) FROM {self._rows}")[0][0])
        rows = self._relation.counted
        if rows != read + self._rejects.number:
            raise BadInputError(
                f"{rows:,} records were counted, but {read:,} were read and "
                f"{self._rejects.number:,} refused; so nothing is reported"
            )
        report: dict[str, Any] = {
            "rows": rows,
            "valid": rows - invalid,
            "invalid": invalid,
            "is_valid": not invalid and self._has_all_columns,
            "errors": sorted(self._errors, key=_place)[:SHOWN_ERRORS],
            "counts": [
                {"column": column, "code": code, "count": count}
                for (column, code), count in sorted(self._counts.items())
            ],
            **self._relation.facts,
        }
        path = self._folder / "report.json"
        path.write_text(json.dumps(report, ensure_ascii=False, indent=1), "utf-8")
        facts = {name: report[name] for name in ("rows", "valid", "invalid", "is_valid")}
        made = [Output(path, "application/json", "json", facts=facts)]
        if invalid:
            made.append(Output(errors, "text/csv", "csv", "errors", {"rows": invalid}))
        return made

    def _write_invalid(self, writer: Any) -> int:
        """Write the rows that break a rule, and note the first of their cells."""
        cells = ", ".join(f"c{index}" for index in range(len(self._relation.names)))
        invalid = shown = 0
        for page in self._engine.pages(
            f"SELECT line, byte_offset, failed, {cells} FROM {self._rows} "
            f"WHERE len(failed) > 0 ORDER BY line, byte_offset"
        ):
            for line, offset, failed, *texts in page:
                invalid += 1
                broken = [self._checks[int(number)] for number in failed]
                reasons = "; ".join(f"{check.column}: {check.code}" for check in broken)
                writer.writerow([*("" if one is None else one for one in texts), line, reasons, ""])
                for check in broken:
                    self._counts[check.column, check.code] += 1
                    if shown < SHOWN_ERRORS:
                        shown += 1
                        self._note(check, line, offset, texts[check.index])
        return invalid

    def _note(self, check: Check, line: int, offset: int | None, cell: str | None) -> None:
        sample = (cell or "")[:_SAMPLE_LENGTH]
        self._errors.append(
            _error(line, line, offset, check.column, check.code, check.hint, sample)
        )

    def _write_unread(self, writer: Any) -> int:
        """Write the records that are no rows: their text is in `raw`."""
        if not self._rejects.number:
            return 0
        blank = [""] * len(self._relation.names)
        with self._rejects.path.open(encoding="utf-8", newline="") as file:
            csv.field_size_limit(8 * 1024 * 1024)
            for number, row in enumerate(csv.DictReader(file)):
                reason = row["reason"]
                self._counts["", reason] += 1
                writer.writerow([*blank, row["line"], reason, row["raw"]])
                if number < SHOWN_ERRORS:
                    line, sample = int(row["line"]), row["raw"][:_SAMPLE_LENGTH]
                    offset = int(row["byte_offset"])
                    hint = REASONS[reason]
                    self._errors.append(_error(line, line, offset, "", reason, hint, sample))
        return self._rejects.number


def _error(
    row: int | None,
    line: int | None,
    offset: int | None,
    column: str,
    code: str,
    hint: str,
    sample: str,
) -> dict[str, Any]:
    return {
        "row": row,
        "line": line,
        "byte_offset": offset,
        "column": column,
        "code": code,
        "hint": hint,
        "sample": sample,
    }


def _place(error: dict[str, Any]) -> tuple[int, str]:
    return error["line"] or 0, error["column"]


def _promise(options: ValidateOptions, media_type: str) -> Sequence[Promised]:
    del options, media_type
    return [
        Promised("", "application/json", "json"),
        Promised("errors", "text/csv", "csv", is_certain=False),
    ]


PROCESSOR = Processor(
    name="table.validate",
    summary="Holds a table against a schema and lists the cells that miss it",
    version=1,
    options=ValidateOptions,
    takes=TAKES,
    run=validate,
    promise=_promise,
    engines=engines,
    limits=LIMITS,
    preload=("duckdb",),
)
