from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgehand.application.ports.syntax import Syntax
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
from tests.contracts.syntax import EXAMPLES, SUFFIXES, SyntaxContract


@pytest.fixture(scope="module")
def reader() -> TreeSitterSyntax:
    return TreeSitterSyntax(seconds=0.25)


class TestTreeSitterSyntax(SyntaxContract):
    @pytest.fixture
    def syntax(self, reader: TreeSitterSyntax) -> Syntax:
        return reader


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(source=st.binary(max_size=400))
async def test_no_bytes_make_it_raise(reader: TreeSitterSyntax, suffix: str, source: bytes) -> None:
    assert await reader.public_symbols(f"any{suffix}", source) is not None


@pytest.mark.parametrize("path", EXAMPLES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
async def test_no_damage_to_real_source_makes_it_raise(
    reader: TreeSitterSyntax, path: str, data: st.DataObject
) -> None:
    source = EXAMPLES[path][0].encode()
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))

    damaged = source[:start] + data.draw(st.binary(max_size=8)) + source[end:]

    assert await reader.public_symbols(path, damaged) is not None


async def test_a_file_that_takes_too_long_has_no_answer_and_the_next_one_has() -> None:
    syntax = TreeSitterSyntax(seconds=0.05)

    assert await syntax.public_symbols("slow.py", b"def f(): ...\n" * 50_000) is None
    assert await syntax.public_symbols("quick.py", b"def f(): ...\n")


async def test_a_file_that_takes_too_much_memory_has_no_answer_and_the_next_one_has() -> None:
    syntax = TreeSitterSyntax(seconds=20, memory=300 * 1024 * 1024)

    assert await syntax.public_symbols("Bomb.java", b"a => " * 4_000) is None
    assert await syntax.public_symbols("Fine.java", b"public class Fine {}")


async def test_a_parser_that_was_killed_is_replaced() -> None:
    syntax = TreeSitterSyntax()
    before = set(psutil.Process().children())
    await syntax.public_symbols("a.py", b"def f(): ...")
    [child] = set(psutil.Process().children()) - before
    child.kill()
    child.wait(timeout=10)

    assert await syntax.public_symbols("a.py", b"def f(): ...")


def test_the_parser_ends_with_its_reader() -> None:
    syntax = TreeSitterSyntax()
    before = set(psutil.Process().children())
    asyncio.run(syntax.public_symbols("a.py", b"def f(): ..."))
    [child] = set(psutil.Process().children()) - before

    del syntax
    gc.collect()

    assert not child.is_running()


def test_grammars_are_loaded_when_needed_and_not_in_this_process() -> None:
    code = """
import asyncio, sys
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
assert asyncio.run(TreeSitterSyntax().public_symbols("a.go", b"package a\\nfunc F() {}"))
from forgehand.infrastructure.syntax.grammars import grammar_for
print(*(name for name in sys.modules if name.startswith("tree_sitter")))
grammar_for("a.go").symbols(b"package a")
print(*sorted(name for name in sys.modules if name.startswith("tree_sitter") and "." not in name))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines() == ["", "tree_sitter tree_sitter_go"]
