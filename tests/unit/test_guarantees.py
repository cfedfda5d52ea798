"""docs/guarantees.md: each promise names its tests, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/0-9]+\.py)::(\w+)`", PAGE)))
PROMISES, _, _ = PAGE.partition("## Not promised")


@cache
def functions_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert test.startswith("test_")
    assert test in functions_in(file)


def test_every_promise_names_a_test() -> None:
    bullets = re.findall(r"^- .*?(?=^- |^\||^#|\Z)", PROMISES, re.DOTALL | re.MULTILINE)
    rows = [line for line in PROMISES.splitlines() if line.startswith("| ") and "proof |" not in line]
    assert len(bullets) > 25
    assert len(rows) > 9
    for promise in [*bullets, *rows]:
        assert re.search(r"`tests/.*\.py::test_", promise), promise
