"""Public symbols of Go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forgehand.infrastructure.syntax.declarations import Code, Declaration, children

if TYPE_CHECKING:
    from tree_sitter import Node

_TYPE_KINDS = {"struct_type": "struct", "interface_type": "interface"}


def read(code: Code, root: Node) -> Iterator[Declaration]:
    """Capitalised functions, types, constants and variables, and such methods of capitalised types."""
    for node in children(root):
        match node.type:
            case "function_declaration":
                yield from _function(code, node, "function", "")
            case "method_declaration":
                receiver = _receiver(code, node)
                if _is_exported(receiver):
                    yield from _function(code, node, "method", f"{receiver}.")
            case "type_declaration":
                yield from _types(code, node)
            case "const_declaration":
                yield from _values(code, node, "const")
            case "var_declaration":
                yield from _values(code, node, "var")


def _is_exported(name: str | None) -> bool:
    return bool(name) and name[:1].isupper() if name else False


def _function(code: Code, node: Node, kind: str, prefix: str) -> Iterator[Declaration]:
    name = code.name(node)
    if name and _is_exported(name):
        yield Declaration(kind, prefix + name, code.header(node), code.text(node))


def _receiver(code: Code, method: Node) -> str:
    """`Client` of `(c *Client)`, `List` of `(l List[T])`."""
    text = (code.name(method, "receiver") or "").strip("()").partition("[")[0]
    return (text.replace("*", " ").split() or [""])[-1]


def _types(code: Code, declaration: Node) -> Iterator[Declaration]:
    for spec in children(declaration):
        name, underlying = code.name(spec), spec.child_by_field_name("type")
        if not name or not _is_exported(name) or underlying is None:
            continue
        kind = _TYPE_KINDS.get(underlying.type, "type")
        end = code.text(underlying) if kind == "type" else kind
        header = f"type {code.between(spec.start_byte, underlying.start_byte)}{end}"
        yield Declaration(kind, name, header, f"type {code.text(spec)}")


def _values(code: Code, declaration: Node, keyword: str) -> Iterator[Declaration]:
    for child in children(declaration):
        for spec in children(child) if child.type == "var_spec_list" else (child,):
            text = f"{keyword} {code.text(spec)}"
            for name in map(code.text, spec.children_by_field_name("name")):
                if _is_exported(name):
                    yield Declaration("constant", name, text, text)
