"""Recipes as files, YAML or JSON, for those who keep them beside their code."""

from pathlib import Path
from typing import Any, cast

from posthouse.kernel.client import fail

_NO_INPUT, _BAD_INPUT = 66, 65


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe from a YAML or JSON file; ends the program if it is none.

    Raises:
        SystemExit: there is no such file, or it holds no object.
    """
    import yaml  # noqa: PLC0415  of the extra `files`

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", _NO_INPUT)
    except (yaml.YAMLError, UnicodeDecodeError):
        fail(f"{path} is neither YAML nor JSON.", _BAD_INPUT)
    if not isinstance(found, dict):
        fail(f"{path} holds no steps.", _BAD_INPUT)
    return cast("dict[str, Any]", found)
