"""Recipes are data: named steps with typed options, checked before anything is run.

A recipe as callers write it: `{"steps": {"thumb": {"use": "image.resize", "width": 320}}}`. A step
works on the upload, or on the main output of the earlier step that it names in `from`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from posthouse.files.errors import RecipeInvalidError, TypeNotAllowedError, UnknownProcessorError
from posthouse.files.model import SOURCE, Step
from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.protocol import Processor, Promised
from posthouse.kernel.errors import FieldProblem
from posthouse.kernel.problems import input_error

MAX_STEPS = 20
MAX_CHARACTERS = 300_000
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_WORDS = "a name of 1 to 40 small letters, digits, - and _"


@dataclass(frozen=True, slots=True)
class Planned:
    """A step with what it will read and make."""

    step: Step
    processor: Processor
    takes: str
    gives: Sequence[Promised]


def read_text(text: str, field: str = "recipe") -> tuple[Step, ...] | str:
    """Read what a form or a query says of a recipe: the name of a saved one, or steps as JSON.

    Raises:
        RecipeInvalidError: it is neither.
        UnknownProcessorError: a step uses a processor that there is not.
    """
    text = text.strip()
    if NAME.fullmatch(text):
        return text
    if not text.startswith("{") or len(text) > MAX_CHARACTERS:
        raise RecipeInvalidError(field, "invalid", f"give {_WORDS}, or an object with steps")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeInvalidError(field, "malformed-json", "this is not JSON") from error
    if "\\u0000" in text:
        raise RecipeInvalidError(field, "invalid-character", "it holds a NUL character")
    return read_steps(given, field)


def read_steps(given: Any, field: str = "recipe") -> tuple[Step, ...]:
    """Read a recipe as callers write it, and put its options into their full form.

    Raises:
        RecipeInvalidError: it breaks a rule; the place is named.
        UnknownProcessorError: a step uses a processor that there is not.
    """
    recipe = _object(given, field)
    if set(recipe) != {"steps"}:
        raise RecipeInvalidError(field, "unknown-field", 'give {"steps": {…}} and nothing else')
    steps = _object(recipe["steps"], f"{field}.steps")
    if not 0 < len(steps) <= MAX_STEPS:
        raise RecipeInvalidError(f"{field}.steps", "out-of-range", f"give 1 to {MAX_STEPS} steps")
    read: list[Step] = []
    for name, step in steps.items():
        place = f"{field}.steps.{name[:60]}"
        if not NAME.fullmatch(name) or name == SOURCE:
            raise RecipeInvalidError(place, "invalid", f"give the step {_WORDS}, but not {SOURCE}")
        read.append(_step(name, _object(step, place), {one.name for one in read}, place))
    return tuple(read)


def _step(name: str, given: dict[str, Any], earlier: set[str], place: str) -> Step:
    """Read one step.

    Raises:
        RecipeInvalidError: it breaks a rule.
        UnknownProcessorError: there is no such processor.
    """
    options = {key: value for key, value in given.items() if key not in {"use", "from"}}
    source = given.get("from", SOURCE)
    if not isinstance(source, str) or source not in {SOURCE, *earlier}:
        raise RecipeInvalidError(
            f"{place}.from", "unknown-step", "name an earlier step, or leave it out"
        )
    use = given.get("use")
    processor = PROCESSORS.get(use) if isinstance(use, str) else None
    if processor is None:
        raise UnknownProcessorError(f"{place}.use", ", ".join(PROCESSORS))
    try:
        read = processor.options.model_validate(options)
    except ValidationError as error:
        found = input_error([{**one, "loc": (place, *one["loc"])} for one in error.errors()])
        raise RecipeInvalidError(fields=found.fields) from error
    return Step(name, processor.name, source, read.model_dump(mode="json", by_alias=True))


def _object(given: Any, place: str) -> dict[str, Any]:
    """Give what is an object.

    Raises:
        RecipeInvalidError: it is something else.
    """
    if not isinstance(given, dict):
        raise RecipeInvalidError(place, "not-an-object", "give an object")
    return cast("dict[str, Any]", given)


def plan(steps: Sequence[Step], media_type: str) -> list[Planned]:
    """Foretell what each step reads and makes of a file of `media_type`.

    Raises:
        TypeNotAllowedError: a step cannot read what it would be given.
        UnknownProcessorError: a step uses a processor that this version does not have.
    """
    types = {SOURCE: media_type}
    planned: list[Planned] = []
    for step in steps:
        processor = PROCESSORS.get(step.use)
        if processor is None:
            raise UnknownProcessorError(f"recipe.steps.{step.name}.use")
        takes = types[step.source]
        if takes not in processor.takes:
            message = f"{step.use} takes {', '.join(sorted(processor.takes))}"
            field = FieldProblem(f"recipe.steps.{step.name}", "type-not-allowed", message)
            raise TypeNotAllowedError(
                f"The step {step.name} cannot read {takes}; {message}.", fields=[field]
            )
        gives = processor.promise(processor.options.model_validate(step.options), takes)
        types[step.name] = gives[0].media_type
        planned.append(Planned(step, processor, takes, gives))
    return planned


def work_of(content: bytes, step: Step, engines: Mapping[str, str], extension: str) -> bytes:
    """The digest that names a piece of work: a content, a step on it, and who does it.

    Two of one name give the same bytes, so it is done once. `extension` is part of it because a
    few formats are told apart by the name alone.
    """
    processor = PROCESSORS[step.use]
    said = [step.use, processor.version, step.options, dict(engines), extension]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(content + text.encode()).digest()


def result_name(step: str, key: str) -> str:
    """The name of a result: the step's own, or with the output's key behind it."""
    return f"{step}.{key}" if key else step


def result_filename(name: str, result: str, extension: str) -> str:
    """What a result is called when it is saved: `photo.thumb.webp` of `photo.jpg`."""
    stem = name.rpartition(".")[0] or name
    return f"{stem}.{result}" if result == extension else f"{stem}.{result}.{extension}"


def shown(steps: Sequence[Step]) -> dict[str, Any]:
    """A recipe as callers write it."""
    return {"steps": {step.name: _shown(step) for step in steps}}


def _shown(step: Step) -> dict[str, Any]:
    source = {} if step.source == SOURCE else {"from": step.source}
    return {"use": step.use, **source, **step.options}
