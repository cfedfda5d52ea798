from __future__ import annotations

import pytest

from forgehand.application.facts.signatures import is_incompatible


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.py", "def f(a)", "def f(a, b=1)"),
        ("a.py", "def f(a)", "def f(a, *, b: int = 1)"),
        ("a.py", "def f(a)", "def f(a, *args, **kwargs)"),
        ("a.py", "def f(a, *, b=1, c)", "def f(a, *, c, b=1)"),
        ("a.py", "def f(a: int) -> str", "def f(a: 'int | str') -> str | None"),
        ("a.py", "def f(self, a)", "def f(a)"),
        ("a.py", "def f(a, b)", "def f(a, b=None)"),
        ("a.py", "def f(a, *, b)", "def f(a, b)"),
        ("a.py", "def f(a: dict[str, int] = {}, b: str = 'x,y')", "def f(a={}, b='x,y', c=(1, 2))"),
        ("a.ts", "function f(a: string): void", "function f(a: string, b?: number): void"),
        ("a.ts", "function f(a: string): void", "function f(a: string, b = 1, ...rest: any[]): void"),
        ("a.go", "func F(a int)", "func F(a int)"),
        ("a.py", "def f(a, b)", "def f(a…"),
    ],
)
def test_callers_do_not_notice(path: str, before: str, after: str) -> None:
    assert not is_incompatible(path, before, after)


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.py", "def f(a)", "def f()"),
        ("a.py", "def f(a)", "def f(a, b)"),
        ("a.py", "def f(a)", "def f(a, *, b)"),
        ("a.py", "def f(a, b=1)", "def f(a, b)"),
        ("a.py", "def f(a, b)", "def f(b, a)"),
        ("a.py", "def f(a, b=1)", "def f(a, *, b=1)"),
        ("a.py", "def f(a)", "def f(renamed)"),
        ("a.py", "def f(a, *, b=1)", "def f(a)"),
        ("a.py", "def f(*args)", "def f(a)"),
        ("a.py", "def f(a, **kwargs)", "def f(a)"),
        ("a.py", "def f(a)", "async def f(a)"),
        ("a.ts", "function f(a: string): void", "function f(a: string, b: number): void"),
        ("a.ts", "function f(a: string): void", "function f(a: number): void"),
        ("a.ts", "function f(a: string): void", "function f(a: string): string"),
        ("a.js", "function f(a, b)", "function f(a)"),
        ("a.go", "func F(a int)", "func F(a int, b ...int)"),
        ("A.java", "public void m(int a)", "public void m(long a)"),
        ("a.rs", "pub fn f(a: u8)", "pub fn f(a: u8) -> u8"),
    ],
)
def test_callers_notice(path: str, before: str, after: str) -> None:
    assert is_incompatible(path, before, after)
