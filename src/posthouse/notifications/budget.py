"""How much one rendering may do, so that it ends soon whatever the template and the data are."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from posthouse.notifications.errors import RenderBudgetError

MAX_STEPS = 10_000
MAX_WORK = 4 * 1024 * 1024
MAX_OUTPUT = 1024 * 1024
_EACH = 16  # an item costs as much as so many characters


class Budget:
    """The steps of loops, and the characters that are looked at or made, of one rendering."""

    __slots__ = ("steps", "work")

    def __init__(self) -> None:
        """Start with all of it."""
        self.steps = MAX_STEPS
        self.work = MAX_WORK

    def renew(self) -> None:
        """Begin the next rendering."""
        self.steps = MAX_STEPS
        self.work = MAX_WORK

    def spend(self, characters: int) -> None:
        """Take off work that is about to be done.

        Raises:
            RenderBudgetError: there is not enough left.
        """
        self.work -= characters
        if self.work < 0:
            raise RenderBudgetError("It looks at or makes more than 4 MiB of text.")

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """Give items one by one, and count each.

        Raises:
            RenderBudgetError: all loops together made more than 10,000 steps.
        """
        for item in items:
            self.steps -= 1
            if self.steps < 0:
                raise RenderBudgetError(f"Its loops make more than {MAX_STEPS} steps.")
            yield item

    def weigh(self, value: Any) -> Any:
        """Give a value back, after taking off how large it is with all that is in it.

        Raises:
            RenderBudgetError: it is larger than what is left.
        """
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, list | tuple | dict):
            self._weigh_all([value])
        return cast("Any", value)

    def _weigh_all(self, waiting: list[Any]) -> None:
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                entries = cast("dict[Any, Any]", value)
                self.spend(_EACH * len(entries) + 1)
                waiting.extend(entries.keys())
                waiting.extend(entries.values())
            elif isinstance(value, list | tuple):
                items = cast("list[Any]", value)
                self.spend(_EACH * len(items) + 1)
                waiting.extend(items)
            else:
                self.spend(len(value) if isinstance(value, str) else _EACH)
