"""Public symbols of Rust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forgehand.infrastructure.syntax.declarations import DEEPEST_NESTING, Code, Declaration, children

if TYPE_CHECKING:
    from tree_sitter import Node

_KINDS = {
    "struct_item": "struct",
    "union_item": "struct",
    "enum_item": "enum",
    "type_item": "type",
    "const_item": "constant",
    "static_item": "constant",
    "trait_item": "trait",
    "mod_item": "module",
    "function_item": "function",
    "function_signature_item": "function",
}
_FUNCTIONS = frozenset({"function_item", "function_signature_item"})
_CUT_FROM_TRAIT = _FUNCTIONS | {"line_comment", "block_comment"}


def read(code: Code, root: Node) -> Iterator[Declaration]:
    """Items that are `pub` without a restriction, in modules that are so too.

    Methods of inherent impl blocks are named `Type.method`; those of a trait belong to the trait,
    and its implementations are not listed. Macros are not listed.
    """
    yield from _items(code, root, "")


def _is_public(code: Code, item: Node) -> bool:
    return any(child.type == "visibility_modifier" and code.text(child) == "pub" for child in children(item))


def _with_attributes(code: Code, block: Node | None) -> Iterator[tuple[Node, str]]:
    """Each item with the attributes that stand before it (`#[derive(Debug)]`)."""
    attributes = ""
    for item in children(block):
        if item.type == "attribute_item":
            attributes += code.text(item) + " "
        elif not item.type.endswith("_comment"):
            yield item, attributes
            attributes = ""


def _items(code: Code, block: Node | None, prefix: str) -> Iterator[Declaration]:
    private = {
        code.name(item)
        for item in children(block)
        if item.type in {"struct_item", "enum_item", "union_item"} and not _is_public(code, item)
    }
    for item, attributes in _with_attributes(code, block):
        if item.type == "impl_item":
            if _implemented(code, item) not in private:
                yield from _methods(code, item, prefix)
        elif _is_public(code, item):
            yield from _item(code, item, attributes, prefix)


def _item(code: Code, item: Node, attributes: str, prefix: str) -> Iterator[Declaration]:
    if item.type == "use_declaration":
        for used in _used(code, item.child_by_field_name("argument")):
            yield Declaration("export", prefix + used, code.text(item), prefix + used)
        return
    kind, name, body = _KINDS.get(item.type), code.name(item), item.child_by_field_name("body")
    if kind is None or name is None:
        return
    header = _header(code, item, kind)
    substance = attributes + code.text(item)
    if kind == "trait":
        cut = [part for part in children(body) if part.type in _CUT_FROM_TRAIT]
        substance = attributes + code.without(item, cut)
    elif kind == "module":
        substance = header
    yield Declaration(kind, prefix + name, header, substance)
    if kind == "module" and prefix.count(".") < DEEPEST_NESTING:
        yield from _items(code, body, f"{prefix}{name}.")
    elif kind == "trait":
        yield from (
            _member(code, part, f"{prefix}{name}.") for part in children(body) if part.type in _FUNCTIONS
        )


def _header(code: Code, item: Node, kind: str) -> str:
    """A tuple struct is known by its fields; other bodies are left out."""
    body = item.child_by_field_name("body")
    is_tuple = body is not None and body.type == "ordered_field_declaration_list"
    return code.text(item) if is_tuple or kind in {"constant", "type"} else code.header(item)


def _implemented(code: Code, impl: Node) -> str:
    """`Stack` of `impl<T> Stack<T>`."""
    return (code.name(impl, "type") or "").partition("<")[0].rpartition("::")[2].strip("& ")


def _methods(code: Code, impl: Node, prefix: str) -> Iterator[Declaration]:
    if impl.child_by_field_name("trait") is not None:
        return
    prefix = f"{prefix}{_implemented(code, impl)}."
    for item in children(impl.child_by_field_name("body")):
        if item.type in _FUNCTIONS | {"const_item"} and _is_public(code, item):
            yield _member(code, item, prefix)


def _member(code: Code, item: Node, prefix: str) -> Declaration:
    kind = "constant" if item.type == "const_item" else "method"
    return Declaration(kind, prefix + (code.name(item) or ""), code.header(item), code.text(item))


def _used(code: Code, use: Node | None, depth: int = 0) -> Iterator[str]:
    """The names that a `use` brings in: `C` and `E` of `a::{b::C, D as E}`."""
    if use is None or depth > DEEPEST_NESTING:
        return
    match use.type:
        case "scoped_use_list":
            yield from _used(code, use.child_by_field_name("list"), depth + 1)
        case "use_list":
            for part in children(use):
                yield from _used(code, part, depth + 1)
        case "use_as_clause":
            yield code.name(use, "alias") or ""
        case "use_wildcard":
            yield code.text(use)
        case _:
            yield code.text(use).rpartition("::")[2]
