"""Which grammar reads which file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from forgehand.application.ports.syntax import Symbol
from forgehand.infrastructure.syntax import go, java, javascript, python, rust
from forgehand.infrastructure.syntax.declarations import Code, Declaration

if TYPE_CHECKING:
    from tree_sitter import Language, Node

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where a language's parser is (a function of a module) and who reads its trees."""

    module: str
    function: str
    read: Callable[[Code, Node], Iterator[Declaration]]

    def symbols(self, source: bytes) -> tuple[Symbol, ...]:
        """Trusts `source` not to be a bomb: some input costs a parser minutes and gigabytes."""
        from tree_sitter import Parser

        source = source.removeprefix(_BYTE_ORDER_MARK)
        tree = Parser(_language(self.module, self.function)).parse(source)
        return tuple(found.symbol() for found in self.read(Code(source), tree.root_node))


_PYTHON = Grammar("tree_sitter_python", "language", python.read)
_JAVASCRIPT = Grammar("tree_sitter_javascript", "language", javascript.read)
_TYPESCRIPT = Grammar("tree_sitter_typescript", "language_typescript", javascript.read)
_TSX = Grammar("tree_sitter_typescript", "language_tsx", javascript.read)
_GO = Grammar("tree_sitter_go", "language", go.read)
_JAVA = Grammar("tree_sitter_java", "language", java.read)
_RUST = Grammar("tree_sitter_rust", "language", rust.read)
_GRAMMARS = {
    **dict.fromkeys((".py", ".pyi"), _PYTHON),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), _JAVASCRIPT),
    **dict.fromkeys((".ts", ".mts", ".cts"), _TYPESCRIPT),
    ".tsx": _TSX,
    ".go": _GO,
    ".java": _JAVA,
    ".rs": _RUST,
}


def grammar_for(path: str) -> Grammar | None:
    return _GRAMMARS.get(PurePosixPath(path).suffix.lower())


@cache
def _language(module: str, function: str) -> Language:
    from tree_sitter import Language

    return Language(getattr(import_module(module), function)())
