"""Public symbols of Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from forgehand.infrastructure.syntax.declarations import DEEPEST_NESTING, Code, Declaration, children

if TYPE_CHECKING:
    from tree_sitter import Node

CALLED_BY_SIGNATURE = frozenset({"__init__", "__new__", "__call__"})
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*")
_BLOCKS = frozenset(
    {
        "if_statement",
        "elif_clause",
        "else_clause",
        "try_statement",
        "except_clause",
        "finally_clause",
        "block",
    }
)
_CUT_FROM_CLASS = frozenset({"function_definition", "class_definition", "decorated_definition", "comment"})


def read(code: Code, root: Node) -> Iterator[Declaration]:
    """Functions, classes, methods, UPPER_CASE constants and type aliases without a leading underscore.

    Of the dunder methods only those that callers see as a signature count (`__init__`, `__new__`,
    `__call__`). Where `__all__` is one plain list or tuple of strings it decides for the module:
    what it lists is public whatever its name, and names defined elsewhere are exports.
    """
    exported = _exported(code, root)
    if exported is None:
        yield from _declared(code, root, "", _has_no_underscore)
        return
    defined = set()
    for declaration in _declared(code, root, "", exported.__contains__):
        defined.add(declaration.name)
        yield declaration
    for name in exported:
        if name not in defined:
            yield Declaration("export", name, name, name)


def _has_no_underscore(name: str) -> bool:
    return not name.startswith("_")


def _is_public_member(name: str) -> bool:
    return _has_no_underscore(name) or name in CALLED_BY_SIGNATURE


def _statements(code: Code, node: Node | None, depth: int = 0) -> Iterator[Node]:
    """The statements of a block, looking into `if` and `try`, but not behind `__name__ == …`."""
    for child in children(node):
        if child.type not in _BLOCKS:
            yield child
        elif depth < DEEPEST_NESTING and "__name__" not in (code.name(child, "condition") or ""):
            yield from _statements(code, child, depth + 1)


def _declared(
    code: Code, block: Node | None, prefix: str, is_public: Callable[[str], bool]
) -> Iterator[Declaration]:
    for statement in _statements(code, block):
        node = statement.child_by_field_name("definition") or statement
        match node.type:
            case "function_definition" | "class_definition":
                yield from _definition(code, statement, node, prefix, is_public)
            case "expression_statement" if not prefix:
                yield from _assigned(code, node, is_public)
            case "type_alias_statement" if not prefix:
                yield from _type_alias(code, node, is_public)


def _definition(
    code: Code, statement: Node, node: Node, prefix: str, is_public: Callable[[str], bool]
) -> Iterator[Declaration]:
    name = code.name(node)
    if not name or not is_public(name):
        return
    header = code.header(node).rstrip().removesuffix(":")
    if node.type == "function_definition":
        kind = "method" if prefix else "function"
        yield Declaration(kind, prefix + name, header, code.text(statement))
        return
    body = node.child_by_field_name("body")
    cut = [child for child in _statements(code, body) if child.type in _CUT_FROM_CLASS]
    yield Declaration("class", prefix + name, header, code.without(statement, cut))
    if prefix.count(".") < DEEPEST_NESTING:
        yield from _declared(code, body, f"{prefix}{name}.", _is_public_member)


def _type_alias(code: Code, node: Node, is_public: Callable[[str], bool]) -> Iterator[Declaration]:
    left = node.child_by_field_name("left")
    name = code.text(left).partition("[")[0] if left is not None else ""
    if name and is_public(name):
        yield Declaration("type", name, code.text(node), code.text(node))


def _assigned(code: Code, statement: Node, is_public: Callable[[str], bool]) -> Iterator[Declaration]:
    for assignment in children(statement):
        if assignment.type == "assignment":
            for kind, name in _targets(code, assignment):
                listed = is_public is not _has_no_underscore
                if is_public(name) and (listed or kind == "type" or _CONSTANT.fullmatch(name)):
                    yield Declaration(kind, name, code.text(statement), code.text(statement))


def _targets(code: Code, assignment: Node) -> Iterator[tuple[str, str]]:
    kind = "type" if (code.name(assignment, "type") or "").endswith("TypeAlias") else "constant"
    left = assignment.child_by_field_name("left")
    if left is None:
        return
    names = [left] if left.type == "identifier" else children(left) if left.type == "pattern_list" else ()
    yield from ((kind, code.text(name)) for name in names if name.type == "identifier")


def _exported(code: Code, root: Node) -> tuple[str, ...] | None:
    """What `__all__` lists, or None where it is not there or is built by code."""
    values = [value for statement in children(root) for value in _all_values(code, statement)]
    if len(values) != 1 or values[0] is None or values[0].type not in {"list", "tuple"}:
        return None
    items = list(children(values[0]))
    if any(item.type not in {"string", "comment"} for item in items):
        return None
    literals = (item for item in items if item.type == "string")
    names = (
        "".join(code.text(part) for part in children(item) if part.type == "string_content")
        for item in literals
    )
    return tuple(dict.fromkeys(name for name in names if name))


def _all_values(code: Code, statement: Node) -> Iterator[Node | None]:
    """The value of each plain assignment to `__all__`; None for whatever else changes it."""
    if statement.type != "expression_statement":
        return
    for node in children(statement):
        left = node.child_by_field_name("left")
        if left is not None and code.text(left) == "__all__":
            yield node.child_by_field_name("right") if node.type == "assignment" else None
        elif node.type == "call" and code.text(node).startswith("__all__."):
            yield None
