"""A template and data make a PDF, the same each time; nothing outside of both is reached."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
import pytest
from pydantic import ValidationError

from posthouse.files.processors import PROCESSORS, document_render, document_template
from posthouse.files.processors.protocol import BadInputError, UnsafeInputError
from tests.files.media.jobs import Workshop

JSON = "application/json"


def text_of(path: Path) -> str:
    document = pypdfium2.PdfDocument(str(path))
    text = "\n".join(page.get_textpage().get_text_range() for page in document)
    document.close()
    return text.replace("\r\n", "\n").replace("\xa0", " ")


def example(name: str) -> dict[str, Any]:
    return json.loads(document_template.example(name).read_text("utf-8"))


def as_bytes(data: object) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize("name", ["invoice", "report"])
@pytest.mark.parametrize("standard", [None, "a-2b", "ua-1"])
def test_the_same_data_gives_the_same_bytes(
    workshop: Workshop, name: str, standard: str | None
) -> None:
    made = [
        workshop.run(
            "document.render", as_bytes(example(name)), JSON, template=name, pdf_standard=standard
        ).path.read_bytes()
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert made[0].startswith(b"%PDF-1.7")
    marker = {None: b"", "a-2b": b"pdfaid:part", "ua-1": b"pdfuaid:part"}[standard]
    assert marker in made[0]


def test_an_invoice_says_what_is_in_the_data(workshop: Workshop) -> None:
    output = workshop.run("document.render", as_bytes(example("invoice")), JSON, template="invoice")
    assert output.facts == {"pages": 1}
    text = text_of(output.path)
    for said in (
        "Παπαδοπούλου & Łukasiewicz Ltd",
        "31 March 2026",
        "EUR 5,781.86",
        "803.70",
        "47.96",
        "\u2212250.00",
        "page 1 of 1",
    ):
        assert said in text
    assert text_of(output.path).count("Workshop: data protection") == 1


def test_a_long_invoice_repeats_its_header(workshop: Workshop) -> None:
    data = example("invoice")
    del data["totals"]
    data["lines"] = data["lines"] * 30
    output = workshop.run("document.render", as_bytes(data), JSON, template="invoice")
    pages = output.facts["pages"]
    text = text_of(output.path)
    assert pages > 3
    assert text.count("Unit price") >= pages - 1
    assert f"page {pages} of {pages}" in text
    gross = sum(Decimal(line["quantity"]) * Decimal(line["unit_price"]) for line in data["lines"])
    assert f"{gross:,.2f}" in text


def test_sums_are_rounded_by_rate_and_half_goes_up(workshop: Workshop) -> None:
    line = {"description": "a", "quantity": "1", "unit_price": "0.125", "vat_rate": "19.00"}
    other = {"description": "b", "quantity": "3", "unit_price": "0.10", "vat_rate": "19"}
    data = example("invoice") | {"lines": [line, other], "totals": {"gross": "0.51"}}
    text = text_of(workshop.run("document.render", as_bytes(data), JSON, template="invoice").path)
    assert "VAT 19 % on 0.43" in text  # 0.13 and 0.30
    assert "0.08" in text


def test_totals_that_do_not_add_up_are_refused(workshop: Workshop) -> None:
    data = example("invoice")
    data["totals"]["gross"] = "5781.87"
    with pytest.raises(BadInputError, match=r"/totals/gross is 5781.87, .* 5,781.86"):
        workshop.run("document.render", as_bytes(data), JSON, template="invoice")


def test_markup_in_data_is_text(workshop: Workshop) -> None:
    data = example("report")
    data["title"] = '#panic("x") $1/2$ *bold* [a](b) \\ @preview'
    output = workshop.run("document.render", as_bytes(data), JSON, template="report")
    assert '#panic("x") $1/2$ *bold* [a](b)' in text_of(output.path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency": "euro"}, r"`pattern` at `/currency`"),
        ({"issued_on": "2026-02-31"}, r"`format` at `/issued_on`"),
        ({"lines": []}, r"`minItems` at `/lines`"),
        ({"lines": [{"description": "a"}]}, r"`required` at `/lines/0`"),
        ({"surprise": 1}, r"`additionalProperties` at `/`"),
        ({"sender": {"name": 7}}, r"`type` at `/sender/name`"),
        ({"totals": {"net": "1e5"}}, r"`pattern` at `/totals/net`"),
    ],
)
def test_data_that_breaks_the_schema_is_told_where(
    workshop: Workshop, change: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        workshop.run(
            "document.render", as_bytes(example("invoice") | change), JSON, template="invoice"
        )


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"a":NaN}', b'{"a":1,"a":2}', b"[" * 99]
)
def test_what_is_not_json_is_refused(workshop: Workshop, body: bytes) -> None:
    with pytest.raises(BadInputError, match="not JSON"):
        workshop.run("document.render", body, JSON, source="Hi")


def test_data_of_many_megabytes_is_refused(workshop: Workshop) -> None:
    with pytest.raises(UnsafeInputError, match="8 MiB"):
        workshop.run("document.render", b" " * (8 * 1024 * 1024) + b"1", JSON, source="Hi")


def test_a_template_of_ones_own_reads_the_data(workshop: Workshop) -> None:
    source = '#let data = json("data.json")\nDear #data.name, today is #datetime.today().display()'
    schema = {"type": "object", "properties": {"name": {"$ref": "#/$defs/n"}}}
    schema |= {"$defs": {"n": {"type": "string"}}}
    output = workshop.run(
        "document.render", b'{"name":"Zo\xc3\xab"}', JSON, source=source, schema=schema
    )
    assert text_of(output.path) == "Dear Zoë, today is 1970-01-01"
    with pytest.raises(BadInputError, match="`type` at `/name`"):
        workshop.run("document.render", b'{"name":1}', JSON, source=source, schema=schema)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('#read("/etc/passwd")', r"line 1: file not found \(searched at /etc/passwd\)"),
        ('\n#read("../source-1")', "line 2: path .* escape the project root"),
        ('#image("http://127.0.0.1/x.png")', "network access is not supported"),
        ('#import "@preview/cetz:0.4.0": canvas', "package @preview/cetz"),
        ('#include "@local/secret:1.0.0"', "package @local/secret"),
        ("#while true {}", "always true"),
        ("#let f(x) = f(x + 1)\n#f(1)", "call depth"),
        ('#panic("no such customer")', "line 1: no such customer"),
        ("#(", "unclosed"),
        ('#json("data.json").nope', "nope"),
        ("#" + "(" * 4000 + ")" * 4000, "."),
    ],
)
def test_a_template_that_fails_is_explained(workshop: Workshop, source: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said) as raised:
        workshop.run("document.render", b"{}", JSON, source=source)
    assert str(workshop.folder) not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_links_are_never_written_through_or_met(workshop: Workshop, tmp_path: Path) -> None:
    job = workshop.job("document.render", b"{}", JSON, source='#read("root.typ")')
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "root.typ").write_text("a secret")
    (job.folder / "main.typ").symlink_to(outside / "root.typ")
    (job.folder / "root.typ").symlink_to(outside / "root.typ")
    with pytest.raises(BadInputError, match="file not found"):
        PROCESSORS["document.render"].run(job)
    assert (outside / "root.typ").read_text() == "a secret"


def test_a_root_holds_new_regular_files_only(tmp_path: Path) -> None:
    root = document_template.materialise(tmp_path, "Hi", b"{}")
    assert root.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in root.iterdir()) == ["data.json", "main.typ"]
    assert not any(path.is_symlink() for path in root.iterdir())
    assert document_template.materialise(tmp_path, "Hi", b"{}") != root
    assert document_render.compile_in(root).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "http://127.0.0.1:1/schema.json"}, r"another document at `/\$ref`"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "`/properties/a/"),
        ({"allOf": [{"$dynamicRef": "other.json#a"}]}, r"`/allOf/0/\$dynamicRef`"),
        ({"$ref": "#/$defs/none"}, "not valid"),
        ({"$schema": "http://127.0.0.1:1/meta"}, "published draft"),
        ({"$schema": 7}, "published draft"),
        ({"type": "thing"}, "not valid"),
        ({"pattern": "("}, "not valid"),
        ({"minimum": "3"}, "not valid"),
    ],
)
def test_a_schema_that_reaches_out_is_refused(
    workshop: Workshop, schema: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        workshop.run("document.render", b'{"a": 1}', JSON, source="Hi", schema=schema)


def test_a_base_that_is_elsewhere_is_not_fetched(workshop: Workshop) -> None:
    schema = {"$id": "http://127.0.0.1:1/s", "$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}
    with pytest.raises(BadInputError, match="`type` at `/`"):
        workshop.run("document.render", b"1", JSON, source="Hi", schema=schema)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"template": "letter"},
        {"template": "invoice", "source": "Hi"},
        {"template": "invoice", "schema": {}},
        {"source": ""},
        {"source": "é" * 140_000},
        {"source": "Hi", "pdf_standard": "x"},
        {"source": "Hi", "root": "/"},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PROCESSORS["document.render"].options.model_validate(options)


def test_text_that_is_no_unicode_is_refused(workshop: Workshop) -> None:
    with pytest.raises((BadInputError, ValidationError)):
        workshop.run("document.render", b"{}", JSON, source="\ud800")
