"""What a template's data must be like: a JSON Schema that refers to nothing, or names alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn, cast

import jsonschema_rs

from posthouse.kernel.errors import FieldProblem
from posthouse.notifications.errors import TemplateVariableMissingError

MAX_SCHEMA = 32 * 1024
MAX_NODES = 300
SHOWN = 20
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_MESSAGE = 200


class SchemaError(ValueError):
    """The schema cannot be used."""


def require_schema(schema: Any) -> None:
    """Go on if this is a schema that can be checked in short time.

    References are refused: a few of them can make a check that never ends.

    Raises:
        SchemaError: it is none, is too large, or refers to something.
    """
    if not isinstance(schema, dict):
        raise SchemaError("it is no object")
    text = json.dumps(schema)
    if len(text) > MAX_SCHEMA:
        raise SchemaError("it has more than 32 KiB")
    for count, node in enumerate(_objects(schema), 1):
        if count > MAX_NODES:
            raise SchemaError(f"it has more than {MAX_NODES} parts")
        if _REFERENCES & node.keys():
            raise SchemaError("it has a reference; write out what it refers to")
    _validator(text)


def check_data(schema: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Go on if the data is as the schema wants it.

    Raises:
        TemplateVariableMissingError: it is not; `fields` says where.
    """
    validator = _validator(json.dumps(schema))
    problems: list[FieldProblem] = []
    try:
        for failure in validator.iter_errors(dict(data)):
            problems.append(_problem(failure))
            if len(problems) == SHOWN:
                break
    except (ValueError, TypeError, OverflowError) as error:
        words = "it cannot be checked"
        raise TemplateVariableMissingError(
            fields=[FieldProblem("body.data", "data-invalid", words)]
        ) from error
    if problems:
        raise TemplateVariableMissingError(fields=problems)


def require_names(names: Iterable[str], data: Mapping[str, Any]) -> None:
    """Go on if the data has all of these names.

    Raises:
        TemplateVariableMissingError: it lacks some.
    """
    missing = [name for name in names if name not in data]
    if missing:
        words = "the template needs it"
        raise TemplateVariableMissingError(
            f"It lacks {', '.join(missing[:SHOWN])}.",
            fields=[FieldProblem(f"body.data.{one}", "missing", words) for one in missing[:SHOWN]],
        )


def _problem(failure: "jsonschema_rs.ValidationError") -> FieldProblem:
    path = [str(step) for step in failure.instance_path]
    kind = failure.kind
    if kind.name == "required":
        path.append(str(cast("Any", kind).property).strip('"'))
        return FieldProblem(".".join(["body.data", *path]), "missing", "the template needs it")
    message = failure.message
    shown = message if len(message) <= _MESSAGE else message[: _MESSAGE - 1] + "…"
    return FieldProblem(".".join(["body.data", *path]), "data-invalid", shown)


@lru_cache(maxsize=200)
def _validator(schema: str) -> Any:
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema),
            validate_formats=True,
            retriever=_refuse,
            # Patterns in linear time: they come from strangers.
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise SchemaError(f"it is not valid: {str(error)[:_MESSAGE]}") from error


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            entries = cast("dict[str, Any]", node)
            yield entries
            waiting.extend(entries.values())
        elif isinstance(node, list):
            waiting.extend(cast("list[Any]", node))


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")
