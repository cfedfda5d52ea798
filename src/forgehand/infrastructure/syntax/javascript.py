"""Public symbols of JavaScript and TypeScript."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from forgehand.infrastructure.syntax.declarations import DEEPEST_NESTING, Code, Declaration, children

if TYPE_CHECKING:
    from tree_sitter import Node

_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "function_signature",
        "function_expression",
        "generator_function",
        "arrow_function",
    }
)
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
_VARIABLES = frozenset({"lexical_declaration", "variable_declaration"})
_NAMESPACES = frozenset({"internal_module", "module"})
_WHOLE = {"interface_declaration": "interface", "enum_declaration": "enum", "type_alias_declaration": "type"}
_METHODS = frozenset({"method_definition", "abstract_method_signature", "method_signature"})
_FIELDS = frozenset({"field_definition", "public_field_definition"})
_MODULE = frozenset({"module.exports", "exports"})


def read(code: Code, root: Node) -> Iterator[Declaration]:
    """What a module exports, by `export` or by `module.exports`, and the public methods of its classes.

    Names are those that importers see; a default export goes by its own name where it has one.
    What is passed on from another module is an export. Members marked `private` or `protected` or
    named `#…` are left out.
    """
    local = {name: node for statement in children(root) for name, node in _named(code, statement)}
    for statement in children(root):
        if statement.type == "export_statement":
            yield from _exported(code, statement, local, "")
        elif statement.type == "expression_statement":
            for expression in children(statement):
                yield from _assigned(code, expression, local)


def _named(code: Code, statement: Node) -> Iterator[tuple[str, Node]]:
    """The names that a statement declares, each with the node that declares it."""
    node = _declared(statement)
    if node.type == "export_statement":
        node = _declared(node.child_by_field_name("declaration") or node.child_by_field_name("value") or node)
    if node.type in _VARIABLES:
        for declarator in children(node):
            yield from ((name, declarator) for name in _bound(code, declarator.child_by_field_name("name")))
    elif (name := code.name(node)) and node.type in _FUNCTIONS | _CLASSES | _NAMESPACES | _WHOLE.keys():
        yield name, node


def _declared(node: Node) -> Node:
    """What stands behind `declare`, or in the statement that TypeScript makes of a namespace."""
    if node.type == "ambient_declaration" or node.type == "expression_statement":
        return next(iter(children(node)), node)
    return node


def _bound(code: Code, pattern: Node | None, depth: int = 0) -> Iterator[str]:
    """The names that a pattern binds: `a` and `c` of `{ a, b: c }`."""
    if pattern is None or depth > DEEPEST_NESTING:
        return
    if pattern.type in {"identifier", "shorthand_property_identifier_pattern"}:
        yield code.text(pattern)
        return
    inner = pattern.child_by_field_name("value") or pattern.child_by_field_name("left")
    for child in (inner,) if inner is not None else children(pattern):
        yield from _bound(code, child, depth + 1)


def _exported(code: Code, statement: Node, local: Mapping[str, Node], prefix: str) -> Iterator[Declaration]:
    declaration = statement.child_by_field_name("declaration")
    value = statement.child_by_field_name("value")
    if declaration is not None:
        found = list(_named(code, declaration))
        for name, node in found:
            yield from _declaration(code, node, prefix + name)
        if not found:
            yield from _declaration(code, declaration, f"{prefix}default")
    elif value is not None:
        yield from _value(code, value, "default", local)
    else:
        yield from _passed_on(code, statement, local, prefix)


def _passed_on(code: Code, statement: Node, local: Mapping[str, Node], prefix: str) -> Iterator[Declaration]:
    """`export { a as b }`, with or without `from`, `export * from` and `export =`."""
    source = statement.child_by_field_name("source")
    parts = [
        part
        for part in children(statement)
        if part.type in {"export_clause", "namespace_export", "identifier"}
    ]
    if not parts and source is not None:
        yield Declaration("export", f"* from {code.text(source)}", code.text(statement), code.text(statement))
    for part in parts:
        if part.type == "identifier":
            yield from _value(code, part, "default", local)
        elif part.type == "namespace_export":
            name = code.text(part).rpartition(" ")[2]
            yield Declaration("export", prefix + name, code.text(statement), code.text(statement))
        else:
            for specifier in children(part):
                yield from _specifier(code, specifier, {} if source is not None else local, prefix)


def _specifier(code: Code, specifier: Node, local: Mapping[str, Node], prefix: str) -> Iterator[Declaration]:
    name = code.name(specifier)
    if not name:
        return
    shown = code.name(specifier, "alias") or name
    if name in local:
        yield from _declaration(code, local[name], prefix + shown)
    else:
        yield Declaration(
            "export", prefix + shown, f"export {{ {code.text(specifier)} }}", code.text(specifier)
        )


def _value(code: Code, value: Node, name: str, local: Mapping[str, Node]) -> Iterator[Declaration]:
    """An exported expression, under its own name where it is one."""
    named = code.text(value) if value.type == "identifier" else None
    if named is not None and named in local:
        yield from _declaration(code, local[named], named if name == "default" else name)
    elif value.type in _FUNCTIONS | _CLASSES:
        own = code.name(value) if name == "default" else None
        yield from _declaration(code, value, own or name)
    else:
        yield Declaration("constant", name, f"{name} = {code.text(value)}", code.text(value))


def _declaration(code: Code, node: Node, name: str) -> Iterator[Declaration]:
    """One declaration and, for a class or a namespace, what is public in it."""
    if node.type == "variable_declarator":
        yield from _variable(code, node, name)
    elif node.type in _FUNCTIONS:
        yield Declaration("function", name, _function_header(code, node), code.text(node))
    elif node.type in _CLASSES:
        yield from _class(code, node, name)
    elif node.type in _NAMESPACES:
        yield Declaration("module", name, code.header(node), code.header(node))
        if name.count(".") < DEEPEST_NESTING:
            for statement in children(node.child_by_field_name("body")):
                if statement.type == "export_statement":
                    yield from _exported(code, statement, {}, f"{name}.")
    elif node.type in _WHOLE:
        yield Declaration(_WHOLE[node.type], name, code.header(node), code.text(node))


def _function_header(code: Code, node: Node) -> str:
    return code.header(node).rstrip().removesuffix("=>")


def _variable(code: Code, declarator: Node, name: str) -> Iterator[Declaration]:
    value = declarator.child_by_field_name("value")
    if value is not None and value.type in _FUNCTIONS:
        start = code.between(declarator.start_byte, value.start_byte)
        yield Declaration("function", name, start + _function_header(code, value), code.text(declarator))
    elif value is not None and value.type in _CLASSES:
        yield from _class(code, value, name)
    else:
        yield Declaration("constant", name, code.text(declarator), code.text(declarator))


def _is_method(node: Node) -> bool:
    value = node.child_by_field_name("value") if node.type in _FIELDS else None
    return node.type in _METHODS or (value is not None and value.type in _FUNCTIONS)


def _class(code: Code, node: Node, name: str) -> Iterator[Declaration]:
    members = list(children(node.child_by_field_name("body")))
    cut = [member for member in members if member.type == "comment" or _is_method(member)]
    yield Declaration("class", name, code.header(node), code.without(node, cut))
    for member in members:
        if not _is_method(member) or _is_hidden(code, member):
            continue
        own = code.name(member) or code.name(member, "property")
        value = member.child_by_field_name("value")
        start = "" if value is None else code.between(member.start_byte, value.start_byte)
        header = start + _function_header(code, member if value is None else value)
        yield Declaration("method", f"{name}.{own}", header, code.text(member))


def _is_hidden(code: Code, member: Node) -> bool:
    return any(
        child.type == "private_property_identifier"
        or (child.type == "accessibility_modifier" and code.text(child) != "public")
        for child in children(member)
    )


def _assigned(
    code: Code, expression: Node, local: Mapping[str, Node], depth: int = 0
) -> Iterator[Declaration]:
    """`module.exports = …`, `exports.name = …` and chains of them."""
    left, right = expression.child_by_field_name("left"), expression.child_by_field_name("right")
    if expression.type != "assignment_expression" or left is None or right is None or depth > DEEPEST_NESTING:
        return
    value = right
    while value.type == "assignment_expression":
        value = value.child_by_field_name("right") or left
    target, owner = code.text(left), code.name(left, "object")
    if target == "module.exports" and value.type == "object":
        for part in children(value):
            yield from _property(code, part, local)
    elif target == "module.exports":
        yield from _value(code, value, "default", local)
    elif owner in _MODULE:
        yield from _value(code, value, code.name(left, "property") or "", local)
    yield from _assigned(code, right, local, depth + 1)


def _property(code: Code, part: Node, local: Mapping[str, Node]) -> Iterator[Declaration]:
    """One entry of `module.exports = { … }`."""
    value = part.child_by_field_name("value")
    name = code.name(part) or code.name(part, "key") or code.text(part)
    if part.type == "method_definition":
        yield Declaration("function", name, code.header(part), code.text(part))
    elif part.type == "pair" and value is not None:
        yield from _value(code, value, name.strip("'\""), local)
    elif part.type == "shorthand_property_identifier":
        if name in local:
            yield from _declaration(code, local[name], name)
        else:
            yield Declaration("export", name, name, name)
