"""What a grammar's reader finds in a file, and how it becomes a symbol."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgehand.application.ports.syntax import Symbol
from forgehand.application.untrusted import one_line

if TYPE_CHECKING:
    from tree_sitter import Node

NAME_LIMIT = 200
SIGNATURE_LIMIT = 1000
DEEPEST_NESTING = 12
_COMMENT_SIGN = re.compile(r"#|//|/\*")
_WRAPPED_START = re.compile(r"([(\[]) ")
_WRAPPED_END = re.compile(r"(?:, ?| )([)\]])")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A public declaration: `header` is its text without the body, `substance` all that makes it up."""

    kind: str
    name: str
    header: str
    substance: str

    def symbol(self) -> Symbol:
        words = " ".join(self.substance.split())
        return Symbol(
            kind=self.kind,
            name=one_line(self.name, NAME_LIMIT),
            signature=one_line(_unwrapped(self.header), SIGNATURE_LIMIT),
            digest=hashlib.sha256(words.encode()).hexdigest(),
        )


def _unwrapped(header: str) -> str:
    """As if it had been written on one line."""
    line = " ".join(header.split()).rstrip(" {;")
    return _WRAPPED_END.sub(r"\1", _WRAPPED_START.sub(r"\1", line))


@dataclass(frozen=True, slots=True)
class Code:
    """The source that a tree was made from; bytes that are not UTF-8 read as `\\xNN`."""

    source: bytes

    def text(self, node: Node) -> str:
        return self.between(node.start_byte, node.end_byte)

    def between(self, start: int, end: int) -> str:
        return self.source[start:end].decode(errors="backslashreplace")

    def name(self, node: Node, field: str = "name") -> str | None:
        named = node.child_by_field_name(field)
        return None if named is None else self.text(named)

    def header(self, node: Node) -> str:
        """`node` up to its body, without the comments in between."""
        body = node.child_by_field_name("body")
        end = node.end_byte if body is None else body.start_byte
        text = self.between(node.start_byte, end)
        if not _COMMENT_SIGN.search(text):
            return text
        kept, position = [], node.start_byte
        for comment in _comments(node, end):
            kept.append(self.between(position, comment.start_byte))
            position = comment.end_byte
        return "".join((*kept, self.between(position, end)))

    def without(self, node: Node, parts: Collection[Node]) -> str:
        """`node` without some of its descendants, which come in order and do not overlap."""
        kept, position = [], node.start_byte
        for part in parts:
            kept.append(self.between(position, part.start_byte))
            position = part.end_byte
        return "".join((*kept, self.between(position, node.end_byte)))


def children(node: Node | None) -> Iterator[Node]:
    """The named children, one at a time: broken source can give a node a million of them."""
    if node is None:
        return
    cursor = node.walk()
    more = cursor.goto_first_child()
    while more:
        child = cursor.node
        if child is not None and child.is_named:
            yield child
        more = cursor.goto_next_sibling()


def _comments(node: Node, end: int, depth: int = 0) -> Iterator[Node]:
    """The comments in `node` that end before `end`, in order."""
    for child in children(node):
        if child.end_byte > end:
            return
        if child.type.endswith("comment"):
            yield child
        elif depth < DEEPEST_NESTING:
            yield from _comments(child, end, depth + 1)
