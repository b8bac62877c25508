"""The template language: Jinja's, with little logic and nothing that reaches into Python.

A template sees the data and nothing else: names lead only to entries of objects, and there are no
calls, macros, includes or assignments. What can grow takes off a budget before it does.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.exceptions import UndefinedError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

from posthouse.notifications.budget import MAX_OUTPUT, Budget
from posthouse.notifications.errors import RenderBudgetError
from posthouse.notifications.figures import FigureError
from posthouse.notifications.filters import FilterUseError, filters_for
from posthouse.notifications.grammar import TESTS, SourceError, check, guard, names_of

MAX_SOURCE = 256 * 1024
# What can be compiled in a few dozen milliseconds.
MAX_TAGS = 500
MAX_TOKENS = 5_000
MAX_RANGE = 1_000
_MAX_BITS = 256
_LOOP = frozenset(
    {
        "index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem",
        "nextitem", "depth", "depth0",
    }
)  # fmt: skip
_CODE = re.compile(r"\{[{%#]")


class UnknownNameError(LookupError):
    """The data has no such name."""


class _Unknown(StrictUndefined):
    """What is not in the data; its error says the name alone."""

    __slots__ = ()

    @property
    @override
    def _undefined_message(self) -> str:
        return str(self._undefined_name or "a value")


class Engine(ImmutableSandboxedEnvironment):
    """One kind of text: HTML, where data is escaped, or plain."""

    def __init__(self, *, is_html: bool) -> None:
        """Make an engine; texts of one engine are rendered one at a time."""
        super().__init__(
            autoescape=is_html,
            undefined=_Unknown,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self._shown,
            cache_size=0,
        )
        self.intercepted_binops = frozenset({"+", "*", "**", "%"})
        self.budget = Budget()
        self.locale = "en"
        self.globals = {"range": self._range}
        self.filters = filters_for(self.budget, lambda: self.locale, is_html=is_html)
        self.filters |= {
            "_each": self.budget.each, "_weigh": self.budget.weigh, "_concat": self._concat,
        }  # fmt: skip
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        """Give an entry of an object, or what is known of a loop."""
        if type(obj) is dict:
            entries = cast("dict[Any, Any]", obj)
            if attribute in entries:
                return entries[attribute]
        return self.getitem(obj, attribute)

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        """The same, or an item of a list by its number."""
        if isinstance(obj, dict):
            entries = cast("dict[Any, Any]", obj)
            if isinstance(argument, str) and argument in entries:
                return entries[argument]
        elif isinstance(obj, list | tuple | str):
            items = cast("list[Any]", obj)
            if type(argument) is int and -len(items) <= argument < len(items):
                return items[argument]
        elif isinstance(obj, LoopContext) and argument in _LOOP:
            return getattr(obj, argument)
        elif isinstance(obj, StrictUndefined):
            str(obj)  # raises: what it was to be an entry of is not there
        return self.undefined(obj=obj, name=str(argument))

    @override
    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Work out what could grow, if it does not grow too far.

        Raises:
            SourceError: it is not done with numbers.
            RenderBudgetError: the result is too large.
        """
        del context
        if operator == "+":
            self.budget.weigh(left)
            self.budget.weigh(right)
            return left + right
        if not _is_number(left) or not _is_number(right):
            raise SourceError(f"`{operator}` is for numbers")
        bits = _bits(left) + _bits(right)
        if operator == "**":
            bits = _bits(left) * abs(int(right)) if abs(right) <= _MAX_BITS else _MAX_BITS + 1
        if bits > _MAX_BITS:
            raise RenderBudgetError("It reckons with numbers of more than 256 bits.")
        if operator == "*":
            return left * right
        return left**right if operator == "**" else left % right

    def build(self, source: str) -> Template:
        """Compile a template that `read` has let pass.

        Raises:
            SourceError: it does not pass.
        """
        tree, _ = self.read(source)
        self.budget.renew()
        guard(tree)
        try:
            code = self.compile(tree, filename=_FILE)
        except (SyntaxError, RecursionError, ValueError) as error:
            raise SourceError("it is nested too deeply") from error
        return Template.from_code(self, code, self.globals)

    def read(self, source: str) -> tuple[nodes.Template, set[str]]:
        """Check a template; give its tree, and the names that the data must have.

        Raises:
            SourceError: it is none, is too large, or has what templates may not have.
        """
        try:
            _require_size(self, source)
            tree = self.parse(source)
            check(tree)
        except TemplateSyntaxError as error:
            raise SourceError(_sentence(str(error.message)), error.lineno) from error
        except RecursionError as error:
            raise SourceError("it is nested too deeply") from error
        except SourceError:
            raise
        except ValueError as error:
            raise SourceError("it holds a number that is too long") from error
        return tree, names_of(tree) - set(self.globals)

    def run(self, template: Template, data: Mapping[str, Any]) -> str:
        """Render a built template with what is left of the budget.

        Raises:
            UnknownNameError: it needs a name that the data has not.
            RenderBudgetError: it does too much.
            SourceError: it does with the data what cannot be done.
        """
        pieces: list[str] = []
        size = 0
        try:
            for piece in template.root_render_func(template.new_context(dict(data))):
                size += len(piece)
                if size > MAX_OUTPUT:
                    raise RenderBudgetError("It gives more than 1 MiB of text.")
                pieces.append(piece)
        except UndefinedError as error:
            raise UnknownNameError(str(error.message)) from error
        except SourceError as error:
            raise SourceError(str(error), _line(template, error)) from error
        except (FigureError, FilterUseError) as error:
            raise SourceError(str(error), _line(template, error)) from error
        except (TypeError, ValueError, ArithmeticError, RecursionError, LookupError) as error:
            words = "this cannot be done with such data"
            raise SourceError(words, _line(template, error)) from error
        return "".join(pieces)

    def _shown(self, value: Any) -> Any:
        """What stands for a value in the text.

        Raises:
            SourceError: nothing does.
        """
        if type(value) is str:
            return value
        if value is None:
            return ""
        if type(value) is bool:
            return "true" if value else "false"
        if isinstance(value, list | tuple | dict):
            raise SourceError("a list or an object cannot be shown; use `for` or `join`")
        return value

    def _range(self, *bounds: Any) -> range:
        found = range(*bounds)
        if len(found) > MAX_RANGE:
            raise RenderBudgetError(f"A range has more than {MAX_RANGE} numbers.")
        return found

    def _concat(self, parts: list[Any]) -> str:
        return "".join(str(self.budget.weigh(self._shown(part))) for part in parts)


_FILE = "<template>"


def has_code(source: str) -> bool:
    """Whether a text is a template; one that is not is its own rendering."""
    return _CODE.search(source) is not None


def _require_size(engine: Engine, source: str) -> None:
    if len(source) > MAX_SOURCE:
        raise SourceError("it has more than 256 KiB")
    tags = tokens = 0
    for _, kind, _ in engine.lex(source):
        if kind not in {"data", "whitespace"}:
            tokens += 1
            tags += kind in {"variable_begin", "block_begin"}
        if tags > MAX_TAGS or tokens > MAX_TOKENS:
            raise SourceError(f"it has more than {MAX_TAGS} tags, or too much in them")


def _line(template: Template, error: BaseException) -> int:
    """The line of the template in which an error was raised."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


def _is_number(value: Any) -> bool:
    return type(value) in {int, float, bool}


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 64
