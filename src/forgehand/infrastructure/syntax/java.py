"""Public symbols of Java."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forgehand.infrastructure.syntax.declarations import DEEPEST_NESTING, Code, Declaration, children

if TYPE_CHECKING:
    from tree_sitter import Node

_TYPES = {
    "class_declaration": "class",
    "record_declaration": "class",
    "interface_declaration": "interface",
    "annotation_type_declaration": "interface",
    "enum_declaration": "enum",
}
_METHODS = frozenset({"method_declaration", "constructor_declaration", "annotation_type_element_declaration"})
_COMMENTS = frozenset({"line_comment", "block_comment"})


def read(code: Code, root: Node) -> Iterator[Declaration]:
    """Public types, and their public methods, constructors, constants and types.

    The members of an interface are public unless they say otherwise. A public field that is not
    `static final` is part of its class, not a symbol of its own.
    """
    for node in children(root):
        if node.type in _TYPES and "public" in _modifiers(code, node):
            yield from _type(code, node, "")


def _modifiers(code: Code, node: Node) -> list[str]:
    """`public`, `static` and so on, without the annotations."""
    for child in children(node):
        if child.type == "modifiers":
            return code.without(child, list(children(child))).split()
    return []


def _header(code: Code, node: Node) -> str:
    annotated = next((child for child in children(node) if child.type == "modifiers"), None)
    if annotated is None:
        return code.header(node)
    body = node.child_by_field_name("body")
    rest = code.between(annotated.end_byte, node.end_byte if body is None else body.start_byte)
    return " ".join((*_modifiers(code, node), rest))


def _members(node: Node) -> Iterator[Node]:
    for member in children(node.child_by_field_name("body")):
        if member.type == "enum_body_declarations":
            yield from children(member)
        else:
            yield member


def _type(code: Code, node: Node, prefix: str) -> Iterator[Declaration]:
    name = code.name(node)
    if not name:
        return
    kind = _TYPES[node.type]
    cut = [member for member in _members(node) if member.type in _METHODS | _COMMENTS | _TYPES.keys()]
    yield Declaration(kind, prefix + name, _header(code, node), code.without(node, cut))
    if prefix.count(".") >= DEEPEST_NESTING:
        return
    for member in _members(node):
        modifiers = _modifiers(code, member)
        implied = kind == "interface" and "private" not in modifiers
        if implied or "public" in modifiers:
            yield from _member(code, member, f"{prefix}{name}.", modifiers)


def _member(code: Code, node: Node, prefix: str, modifiers: list[str]) -> Iterator[Declaration]:
    name = code.name(node)
    if node.type in _TYPES:
        yield from _type(code, node, prefix)
    elif node.type in _METHODS and name:
        yield Declaration("method", prefix + name, _header(code, node), code.text(node))
    elif node.type == "constant_declaration" or {"static", "final"}.issubset(modifiers):
        for declarator in node.children_by_field_name("declarator"):
            constant = code.name(declarator) or ""
            yield Declaration("constant", prefix + constant, _header(code, node), code.text(node))
