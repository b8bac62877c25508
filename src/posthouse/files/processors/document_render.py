"""`document.render`: a PDF from a Typst template and JSON data; the same data, the same bytes."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from posthouse.files.processors import document_pages, document_schema, document_template
from posthouse.files.processors.document_template import Template
from posthouse.files.processors.protocol import (
    MIB,
    BadInputError,
    Job,
    Output,
    Processor,
    Promised,
    StepLimits,
    StepOptions,
    UnsafeInputError,
)
from posthouse.kernel import strictjson
from posthouse.kernel.errors import MalformedJsonError

if TYPE_CHECKING:
    import typst

MAX_SOURCE_BYTES = 256 * 1024
MAX_DATA_BYTES = 8 * MIB
# What `datetime.today()` and the PDF's dates say: a moment that is the same in every run.
_MOMENT = 0


class DocumentRenderOptions(StepOptions):
    """The template, one of ours or its text."""

    template: Literal["invoice", "report"] | None = Field(
        None, description="A template that comes with Posthouse; its schema holds for the data."
    )
    source: str | None = Field(
        None,
        min_length=1,
        description=(
            'Typst text of at most 256 KiB, instead of `template`. `json("data.json")` is the '
            "data; packages and other files are not there, and today is 1970-01-01."
        ),
    )
    schema_: dict[str, Any] | None = Field(
        None,
        alias="schema",
        description="JSON Schema for the data of `source`; only references within it are followed.",
    )
    pdf_standard: Literal["a-2b", "ua-1"] | None = Field(
        None, description="PDF/A-2b for archives, or PDF/UA-1 for screen readers."
    )

    @model_validator(mode="after")
    def check_template(self) -> Self:
        """Refuse all but one template.

        Raises:
            ValueError: there are none or two, or a schema for one of ours.
        """
        if (self.template is None) == (self.source is None):
            raise ValueError("give `template` or `source`")
        if self.template is not None and self.schema_ is not None:
            raise ValueError("a built-in template has its own schema")
        if self.source is not None and len(self.source.encode(errors="replace")) > MAX_SOURCE_BYTES:
            raise ValueError(f"`source` is longer than {MAX_SOURCE_BYTES // 1024} KiB")
        return self


def run(job: Job) -> Sequence[Output]:
    """Make the PDF.

    Raises:
        BadInputError: the data is not JSON or not as the schema wants it, or the template fails.
    """
    options: DocumentRenderOptions = job.options
    if options.template is not None:
        template = document_template.built_in(options.template)
    else:
        template = Template(options.source or "", options.schema_ or True)
        document_template.refuse_packages(template.source)
    data = _read(job.source)
    document_schema.check(_parsed(data), template.schema)
    try:
        root = document_template.materialise(job.folder, template.source, data)
    except UnicodeEncodeError as error:
        raise BadInputError("The template is not Unicode text.") from error
    pdf = compile_in(root, options.pdf_standard)
    shutil.rmtree(root)
    path = job.folder / "document.pdf"
    path.write_bytes(pdf)
    facts = {"pages": document_pages.count(path)}
    return [Output(path, "application/pdf", "pdf", facts=facts)]


def compile_in(root: Path, pdf_standard: str | None = None) -> bytes:
    """Compile the template that lies in `root`.

    Raises:
        BadInputError: it fails; Typst's message says where.
    """
    import typst  # noqa: PLC0415  a child's library

    empty = root / "packages"  # none of the user's own, either
    standards: Any = [pdf_standard] if pdf_standard else []
    try:
        return typst.compile(
            str(root / document_template.MAIN),
            root=str(root),
            font_paths=fonts(),
            ignore_system_fonts=True,
            package_path=str(empty),
            package_cache_path=str(empty),
            pdf_standards=standards,
            timestamp=_MOMENT,
        )
    except typst.TypstError as error:
        reason = document_template.explained(error.message, error.diagnostic, error.hints, root)
        raise BadInputError(f"The template failed: {reason}") from error


@cache
def fonts() -> "typst.Fonts":
    """Typst's own fonts and ours; the system's would give other bytes on another machine."""
    import typst  # noqa: PLC0415  a child's library

    return typst.Fonts(include_system_fonts=False, font_paths=[str(document_template.FONTS)])


def _read(source: Path) -> bytes:
    size = source.stat().st_size
    if size > MAX_DATA_BYTES:
        raise UnsafeInputError(
            f"The data has {size:,} bytes; {MAX_DATA_BYTES // MIB} MiB are allowed."
        )
    return source.read_bytes()


def _parsed(data: bytes) -> Any:
    try:
        return strictjson.parse(data)
    except MalformedJsonError as error:
        raise BadInputError(f"The data is not JSON: {error.detail}") from error


def promise(options: DocumentRenderOptions, media_type: str) -> list[Promised]:
    """Tell the one PDF."""
    del options, media_type
    return [Promised("", "application/pdf", "pdf")]


def engines() -> dict[str, str]:
    """The version of Typst's binding."""
    import typst  # noqa: PLC0415  a child's library

    binding: Any = typst
    return {"typst": binding.__version__}


PROCESSOR = Processor(
    name="document.render",
    summary="A PDF from a Typst template and JSON data.",
    version=1,
    options=DocumentRenderOptions,
    takes=frozenset({"application/json"}),
    run=run,
    promise=promise,
    engines=engines,
    limits=StepLimits(memory_bytes=1024 * MIB, cpu_s=30, wall_s=60.0, written_bytes=256 * MIB),
    preload=("typst", "jsonschema_rs", "pypdfium2", "posthouse.files.processors.document_warming"),
)
