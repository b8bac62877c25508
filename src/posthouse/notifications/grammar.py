"""What may stand in a template: a check of its tree, and the guards that are put into it."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from jinja2 import nodes

from posthouse.notifications.filters import NAMES

_MAX_DEPTH = 48
TESTS = frozenset(
    {
        "defined", "undefined", "none", "boolean", "true", "false", "number", "integer",
        "float", "string", "mapping", "sequence", "odd", "even", "divisibleby",
    }
)  # fmt: skip
_REFUSED_NAMES = frozenset({"self", "caller", "varargs", "kwargs", "super"})
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Getattr, nodes.Getitem, nodes.Filter,
    nodes.Test, nodes.Compare, nodes.Operand, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg,
    nodes.Pos, nodes.Concat, nodes.Call, nodes.Keyword,
)  # fmt: skip


class SourceError(ValueError):
    """A template is not one of ours: what is wrong, and in which line."""

    def __init__(self, message: str, line: int = 0) -> None:
        """Say what is wrong; line 0 is the template as a whole."""
        super().__init__(message)
        self.line = line


def check(tree: nodes.Template) -> None:
    """Go on if a template has only what templates may have.

    Raises:
        SourceError: it has something else.
    """
    _check(tree, 0, 1)


def names_of(tree: nodes.Template) -> set[str]:
    """The names that the data must have."""
    return set(_free(tree, frozenset())) - _optional(tree)


def _check(node: nodes.Node, depth: int, outer_line: int) -> None:
    line = node.lineno or outer_line
    if depth > _MAX_DEPTH:
        raise SourceError("it is nested too deeply", line)
    if not isinstance(node, _ALLOWED):
        raise SourceError(f"`{_word(node)}` cannot be used in templates", line)
    rule: Callable[[Any, int], None] | None = _RULES.get(type(node))
    if rule is not None:
        rule(node, line)
    for child in node.iter_child_nodes():
        _check(child, depth + 1, line)


def _check_name(node: nodes.Name, line: int) -> None:
    if node.name.startswith("_") or node.name in _REFUSED_NAMES:
        raise SourceError(f"`{node.name}` cannot be used in templates", line)


def _check_attribute(node: nodes.Getattr, line: int) -> None:
    if node.attr.startswith("_"):
        raise SourceError(f"`{node.attr}` cannot be used in templates", line)


def _check_item(node: nodes.Getitem, line: int) -> None:
    key = node.arg.value if isinstance(node.arg, nodes.Const) else ""
    if isinstance(key, str) and key.startswith("_"):
        raise SourceError(f"`{key}` cannot be used in templates", line)


def _check_loop(node: nodes.For, line: int) -> None:
    if node.recursive:
        raise SourceError("loops cannot be recursive", line)


def _check_filter(node: nodes.Filter, line: int) -> None:
    if node.name not in NAMES or node.node is None:
        raise SourceError(f"there is no filter `{node.name}`", line)
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise SourceError("`*` before an argument cannot be used in templates", line)


def _check_test(node: nodes.Test, line: int) -> None:
    if node.name not in TESTS:
        raise SourceError(f"there is no test `{node.name}`", line)


def _check_call(node: nodes.Call, line: int) -> None:
    is_range = isinstance(node.node, nodes.Name) and node.node.name == "range"
    if not is_range or node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise SourceError("nothing can be called in templates but `range`", line)


_RULES: dict[type[nodes.Node], Callable[[Any, int], None]] = {
    nodes.Name: _check_name,
    nodes.Getattr: _check_attribute,
    nodes.Getitem: _check_item,
    nodes.For: _check_loop,
    nodes.Filter: _check_filter,
    nodes.Test: _check_test,
    nodes.Call: _check_call,
}


def guard(tree: nodes.Template) -> None:
    """Put the budget between loops and what they go through, and around what is compared."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filtered("_each", loop.iter)
    for compared in list(tree.find_all(nodes.Compare)):
        compared.expr = _filtered("_weigh", compared.expr)
        for operand in compared.ops:
            operand.expr = _filtered("_weigh", operand.expr)
    _join_texts(tree)


def _join_texts(node: nodes.Node) -> None:
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            _join_texts(value)
            setattr(node, name, _joined(value))
        elif isinstance(value, list):
            children = cast("list[Any]", value)
            for child in children:
                if isinstance(child, nodes.Node):
                    _join_texts(child)
            setattr(node, name, [_joined(child) for child in children])


def _joined(node: Any) -> Any:
    if not isinstance(node, nodes.Concat):
        return node
    return _filtered("_concat", nodes.List(node.nodes, lineno=node.lineno))


def _filtered(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", node), name, [], [], None, None, lineno=node.lineno)


def _free(node: nodes.Node, bound: frozenset[str]) -> Iterator[str]:
    """The names that a part of a template takes from the data."""
    if isinstance(node, nodes.Name):
        if node.name not in bound:
            yield node.name
    elif isinstance(node, nodes.For):
        targets = {one.name for one in node.target.find_all(nodes.Name)}
        if isinstance(node.target, nodes.Name):
            targets.add(node.target.name)
        inner = bound | targets
        yield from _free(node.iter, bound)
        for part in (*([] if node.test is None else [node.test]), *node.body):
            yield from _free(part, inner | {"loop"})
        for part in node.else_:
            yield from _free(part, bound)
    else:
        for child in node.iter_child_nodes():
            yield from _free(child, bound)


def _optional(tree: nodes.Template) -> set[str]:
    """Names that a template asks for with `is defined` or `default`, so it can do without."""
    asked: set[str] = set()
    for test in tree.find_all(nodes.Test):
        if test.name in {"defined", "undefined"} and isinstance(test.node, nodes.Name):
            asked.add(test.node.name)
    for used in tree.find_all(nodes.Filter):
        if used.name == "default" and isinstance(used.node, nodes.Name):
            asked.add(used.node.name)
    return asked


def _word(node: nodes.Node) -> str:
    words = {
        "FromImport": "from",
        "CallBlock": "call",
        "FilterBlock": "filter",
        "AssignBlock": "set",
    }
    name = type(node).__name__
    return words.get(name, "set" if name == "Assign" else name.lower())
