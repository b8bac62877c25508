"""Schemathesis calls every operation with generated input, good and bad, alone and in sequence.

All of its checks run: no server error, only declared answers, bodies as their schemas say, bad
input refused, good input taken, methods and credentials respected.
"""

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.live import live_server
from tests.make import Maker

QUIET: dict[str, Any] = {
    "database": None,
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
# Ending its own session or key would take the caller's credentials away in the middle.
LEFT_OUT = {"POST /api/v1/logout"}
# Rules that no schema can say (where a URL leads, what a zone is called, which address is an
# email address) refuse input that is valid by the schema; all other checks stay.
LEFT_OUT_CHECKS = [positive_data_acceptance]
# A file is accepted as it comes; what is wrong with it is told by its task.
OF_STREAMS = [*LEFT_OUT_CHECKS, negative_data_rejection]


def left_out(operation: str) -> list[Any]:
    is_stream = operation.endswith(("/import", "/upload")) or "/tus" in operation
    return OF_STREAMS if is_stream else LEFT_OUT_CHECKS


@pytest.fixture(scope="module")
def url(settings: Settings, runtime: Runtime) -> Generator[str]:
    with live_server(settings) as url:
        yield url


@pytest.fixture
async def headers(make: Maker) -> dict[str, str]:
    return {"Authorization": f"Bearer {await make.key()}"}


def test_generated_cases_get_declared_answers(url: str, headers: dict[str, str]) -> None:
    schema = schema_of(url, headers)
    counted: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.label in LEFT_OUT:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for case in drawn(operation, mode):
                if mode is GenerationMode.NEGATIVE and is_text_after_all(case):
                    continue
                case.call_and_validate(
                    base_url=url, headers=headers, excluded_checks=left_out(operation.label)
                )
                counted[operation.label] += 1
    assert sum(counted.values()) >= 2000, counted


def is_text_after_all(case: Any) -> bool:
    """Whether a tag is a number or a flag, meant to be wrong; in a query it is a text."""
    return "tag" in (case.query or {})


def schema_of(url: str, headers: dict[str, str]) -> Any:
    schema = schemathesis.openapi.from_url(f"{url}/docs/openapi.json")
    schema.config.update(headers=headers)
    return schema


def drawn(operation: Any, mode: GenerationMode, count: int = 52) -> list[Any]:
    """Cases of one operation; none where nothing about it can be wrong."""
    cases: list[Any] = []

    @settings(max_examples=count, phases=[Phase.generate], **QUIET)
    @given(operation.as_strategy(generation_mode=mode))
    def draw(case: Any) -> None:
        cases.append(case)

    try:
        draw()
    except (Unsatisfiable, schemathesis.errors.SchemathesisError):
        return []
    return cases


def test_generated_sequences_get_declared_answers(url: str, headers: dict[str, str]) -> None:
    schema = schema_of(url, headers)
    machine = schema.as_state_machine()

    class Sequence(machine):  # type: ignore[misc,valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": url, "headers": headers}

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            kwargs.pop("additional_checks", None)
            case.validate_response(
                response,
                excluded_checks=left_out(case.operation.label),
                transport_kwargs=kwargs or None,
            )

    Sequence.run(settings=settings(max_examples=15, stateful_step_count=6, **QUIET))
