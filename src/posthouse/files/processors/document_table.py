"""`document.table`: a PDF of a table with thousands of rows, for people to read."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from posthouse.files.processors import document_layout
from posthouse.files.processors.document_rows import CSV, JSON, MAX_COLUMNS, NDJSON, Rows
from posthouse.files.processors.protocol import (
    MIB,
    BadInputError,
    Job,
    Output,
    Processor,
    Promised,
    StepLimits,
    StepOptions,
)

_SOME_ROWS = 1000
_POINTS_PER_MM = 72 / 25.4


class TableColumn(StepOptions):
    """One column that is shown."""

    name: str = Field(max_length=500, description="Its name in the file.")
    title: str | None = Field(None, max_length=200, description="What its head says; else `name`.")
    align: document_layout.Align | None = Field(
        None, description="Else numbers stand right and all else left."
    )
    width: Annotated[float, Field(ge=6, le=300)] | None = Field(
        None, description="In mm; else by what is in it."
    )


class DocumentTableOptions(StepOptions):
    """What is shown, and how."""

    title: str = Field("", max_length=200, description="Above the table, and as the PDF's title.")
    delimiter: Literal[",", ";", "\t", "|"] = Field(",", description="Between cells of a CSV file.")
    columns: Annotated[list[TableColumn], Field(min_length=1, max_length=MAX_COLUMNS)] | None = (
        Field(None, description="The columns to show, in this order; else all of them.")
    )
    paper: Literal["a4", "letter"] = Field(
        "a4", description="Size of the page; it lies on its side from seven columns on."
    )


def run(job: Job) -> Sequence[Output]:
    """Make the PDF in two passes over the rows: one for the widths, one to draw.

    Raises:
        BadInputError: the file cannot be read, or a column is not there.
        UnsafeInputError: it has too many bytes, columns or rows.
    """
    options: DocumentTableOptions = job.options
    rows = Rows(job.source, job.media_type, options.delimiter)
    rows.open()
    chosen = options.columns or [
        TableColumn(name=name, title=None, align=None, width=None) for name in rows.names
    ]
    names = [column.name for column in chosen]
    for name in names:
        if name not in rows.names:
            known = ", ".join(rows.names)
            raise BadInputError(f"There is no column `{name[:100]}`; there are: {known[:300]}.")
    path = job.folder / "table.pdf"
    columns = [
        document_layout.Column(
            one.title if one.title is not None else one.name,
            one.align,
            None if one.width is None else one.width * _POINTS_PER_MM,
        )
        for one in chosen
    ]
    sheet = document_layout.Sheet(path, columns, options.title, options.paper)
    for row in rows.read(names):
        sheet.survey.see(row)
    sheet.begin()
    total = sheet.survey.rows
    for number, row in enumerate(rows.read(names), 1):
        sheet.draw(row)
        if number % _SOME_ROWS == 0:
            job.tell(number, total, "rows drawn")
    sheet.finish()
    facts = {
        "pages": sheet.page,
        "rows": total,
        "columns": len(columns),
        "missing_glyphs": sheet.missing,
        "cut_cells": sheet.cut_cells,
    }
    return [Output(path, "application/pdf", "pdf", facts=facts)]


def promise(options: DocumentTableOptions, media_type: str) -> list[Promised]:
    """Tell the one PDF."""
    del options, media_type
    return [Promised("", "application/pdf", "pdf")]


def engines() -> dict[str, str]:
    """The version of ReportLab."""
    import reportlab  # pyright: ignore[reportMissingTypeStubs]  a child's library

    return {"reportlab": str(reportlab.Version)}


PROCESSOR = Processor(
    name="document.table",
    summary="A PDF of a table with thousands of rows.",
    version=1,
    options=DocumentTableOptions,
    takes=frozenset({CSV, JSON, NDJSON}),
    run=run,
    promise=promise,
    engines=engines,
    limits=StepLimits(memory_bytes=1024 * MIB, cpu_s=60, wall_s=120.0, written_bytes=256 * MIB),
    preload=("reportlab.pdfgen.canvas", "reportlab.pdfbase.ttfonts"),
)
