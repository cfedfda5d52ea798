from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgehand.application.ports.syntax import Syntax
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
from tests.contracts.syntax import EXAMPLES, SUFFIXES, SyntaxContract


class TestTreeSitterSyntax(SyntaxContract):
    @pytest.fixture
    def syntax(self) -> Syntax:
        # Short, so that the absurd files of the contract are given up quickly.
        return TreeSitterSyntax(seconds=0.2)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None)
@given(source=st.binary(max_size=400))
async def test_no_bytes_make_it_raise(suffix: str, source: bytes) -> None:
    assert await TreeSitterSyntax().public_symbols(f"any{suffix}", source) is not None


@pytest.mark.parametrize("path", EXAMPLES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
async def test_no_damage_to_real_source_makes_it_raise(path: str, data: st.DataObject) -> None:
    source = EXAMPLES[path][0].encode()
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))

    damaged = source[:start] + data.draw(st.binary(max_size=8)) + source[end:]

    assert await TreeSitterSyntax().public_symbols(path, damaged) is not None


async def test_a_file_that_takes_too_long_has_no_answer() -> None:
    source = b"def f(): ...\n" * 20_000

    assert await TreeSitterSyntax(seconds=0.0).public_symbols("slow.py", source) is None


def test_grammars_are_loaded_one_by_one_when_needed() -> None:
    code = """
import asyncio, sys
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
assert not [name for name in sys.modules if name.startswith("tree_sitter")]
asyncio.run(TreeSitterSyntax().public_symbols("a.go", b"package a"))
print(*sorted(name for name in sys.modules if name.startswith("tree_sitter") and "." not in name))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["tree_sitter", "tree_sitter_go"]
