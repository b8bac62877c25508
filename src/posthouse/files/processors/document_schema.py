"""Holds data against a JSON Schema that names nothing outside of itself."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

from posthouse.files.processors.protocol import BadInputError

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DRAFTS = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")
_SHOWN = 200


def check(data: Any, schema: Mapping[str, Any] | bool) -> None:
    """Go on if the data is as the schema wants it.

    Raises:
        BadInputError: it is not: the text names the JSON pointer and the rule. Or the schema is
            none, or refers to another document; nothing is ever fetched.
    """
    import jsonschema_rs  # noqa: PLC0415  a child's library

    _refuse_foreign_references(schema)
    try:
        validator = jsonschema_rs.validator_for(
            cast("dict[str, Any] | bool", schema),
            validate_formats=True,
            retriever=_refuse,
            # Patterns in linear time: theirs come from strangers.
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"The schema is not valid: {_shortened(str(error))}") from error
    try:
        failure = next(iter(validator.iter_errors(data)), None)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"The data cannot be checked: {_shortened(str(error))}") from error
    if failure is not None:
        raise BadInputError(
            f"The data breaks the rule `{failure.kind.name}` at "
            f"`{_pointer(failure.instance_path)}`: {_shortened(failure.message)}"
        )


def _refuse_foreign_references(schema: Any) -> None:
    for where, node in _nodes(schema, ()):
        for name in _REFERENCES:
            target = node.get(name)
            if isinstance(target, str) and not target.startswith("#"):
                raise BadInputError(
                    f"The schema refers to another document at `{_pointer((*where, name))}`; "
                    "only references that begin with # are followed."
                )
    draft: Any = cast("dict[str, Any]", schema).get("$schema") if isinstance(schema, dict) else None
    if draft is not None and not (isinstance(draft, str) and _DRAFTS.fullmatch(draft)):
        raise BadInputError("The schema's `$schema` is not a published draft of JSON Schema.")


def _nodes(
    schema: Any, where: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """All objects in the schema with where they are."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [(where, schema)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, dict):
            entries = cast("dict[str, Any]", node)
            yield place, entries
            waiting.extend(((*place, name), value) for name, value in entries.items())
        elif isinstance(node, list):
            items = cast("list[Any]", node)
            waiting.extend(((*place, at), value) for at, value in enumerate(items))


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


def _pointer(path: Sequence[str | int]) -> str:
    """RFC 6901; the whole document is shown as a slash."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps) or "/"


def _shortened(message: str) -> str:
    return message if len(message) <= _SHOWN else message[: _SHOWN - 1] + "…"
