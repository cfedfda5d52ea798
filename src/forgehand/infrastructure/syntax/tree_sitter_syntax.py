"""The Syntax port over tree-sitter, one grammar wheel for each language."""

from __future__ import annotations

import asyncio
import time
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
    from tree_sitter import Language, Node, Tree


@dataclass(frozen=True, slots=True)
class _Grammar:
    """Where a language's parser is (a function of a module) and who reads its trees."""

    module: str
    function: str
    read: Callable[[Code, Node], Iterator[Declaration]]


_PYTHON = _Grammar("tree_sitter_python", "language", python.read)
_JAVASCRIPT = _Grammar("tree_sitter_javascript", "language", javascript.read)
_TYPESCRIPT = _Grammar("tree_sitter_typescript", "language_typescript", javascript.read)
_TSX = _Grammar("tree_sitter_typescript", "language_tsx", javascript.read)
_GO = _Grammar("tree_sitter_go", "language", go.read)
_JAVA = _Grammar("tree_sitter_java", "language", java.read)
_RUST = _Grammar("tree_sitter_rust", "language", rust.read)
_GRAMMARS = {
    **dict.fromkeys((".py", ".pyi"), _PYTHON),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), _JAVASCRIPT),
    **dict.fromkeys((".ts", ".mts", ".cts"), _TYPESCRIPT),
    ".tsx": _TSX,
    ".go": _GO,
    ".java": _JAVA,
    ".rs": _RUST,
}
_CHUNK = 65_536
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TreeSitterSyntax:
    """Reads Python, JavaScript, TypeScript, Go, Java and Rust. A grammar is loaded when first needed.

    A file that takes more than `seconds` of processor time is given up: some input that is no
    source code costs a grammar minutes and gigabytes.
    """

    seconds: float = 1.0

    async def public_symbols(self, path: str, source: bytes) -> tuple[Symbol, ...] | None:
        grammar = _GRAMMARS.get(PurePosixPath(path).suffix.lower())
        if grammar is None:
            return None
        return await asyncio.to_thread(self._read, grammar, source)

    def _read(self, grammar: _Grammar, source: bytes) -> tuple[Symbol, ...] | None:
        source = source.removeprefix(_BYTE_ORDER_MARK)
        tree = self._parse(_language(grammar.module, grammar.function), source)
        if tree is None:
            return None
        return tuple(found.symbol() for found in grammar.read(Code(source), tree.root_node))

    def _parse(self, language: Language, source: bytes) -> Tree | None:
        from tree_sitter import Parser

        end = time.thread_time() + self.seconds
        try:
            # Only a parse that reads through a callback can be stopped; it must be given real bytes.
            return Parser(language).parse(
                lambda offset, _: source[offset : offset + _CHUNK],
                progress_callback=lambda _offset, _failed: time.thread_time() > end,
            )
        except ValueError:
            return None


@cache
def _language(module: str, function: str) -> Language:
    from tree_sitter import Language

    return Language(getattr(import_module(module), function)())
